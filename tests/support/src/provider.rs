//! An OpenID provider where people log in: a form with cookies, codes with PKCE, devices, signed ID tokens.
//! As strict as the real ones, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd_core::instant::Instant;
use serde_json::{Value, json};
use url::Url;

use super::keys::random_text;

/// Name and value of each parameter.
pub type Form = BTreeMap<String, String>;

/// How the provider is set up, and what it remembers.
#[derive(Debug)]
pub struct Op {
    /// Scheme, address and port.
    pub origin: String,
    /// The one registered redirect URI, byte for byte; empty: any on loopback.
    pub redirect_uri: String,
    /// Begins every code, token and cookie.
    pub mark: String,
    /// What the one user types in.
    pub password: String,
    /// Seconds.
    pub lifetime: u64,
    /// Members of the next ID tokens that differ.
    pub claims: Value,
    /// What the authorization endpoint answers, instead of a page.
    pub error: Option<&'static str>,
    /// `iss` in the answers; none when empty.
    pub iss: Option<String>,
    /// Where the form leads before it ends, for a while.
    pub detour: Option<String>,
    /// What the token endpoint says of device codes, until it is empty.
    pub device_answers: Vec<&'static str>,
    /// What the client proves itself by, instead of its secret (RFC 7523 section 2.2).
    pub client_assertion: Option<String>,
    /// Whether a refresh token comes with each token.
    pub refresh_tokens_are_given: bool,
    /// A path that is answered with 503 for so many times.
    pub out: Option<(&'static str, usize)>,
    /// Seconds of the `Retry-After` that goes with it.
    pub retry_after: Option<u64>,
    /// When it was asked about one.
    pub polled_at: Vec<Instant>,
    /// Every request: method, path and parameters.
    pub seen: Vec<(String, String, Form)>,
    /// Which cookies came with which path.
    pub cookies: Vec<(String, String)>,
    codes: BTreeMap<String, Form>,
    sessions: BTreeSet<String>,
    refresh_tokens: BTreeMap<String, bool>,
}

/// The running provider.
pub struct Provider {
    shared: Arc<Mutex<Op>>,
    /// Scheme, address and port.
    pub origin: String,
}

struct Shared {
    op: Arc<Mutex<Op>>,
    key: Ed25519KeyPair,
}

/// The provider's client.
pub const CLIENT_ID: &str = "app";
/// Its secret.
pub const CLIENT_SECRET: &str = "cAnArY-client-secret";

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Provider {
    /// Starts one.
    #[must_use]
    pub fn start(redirect_uri: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let origin = format!("http://{}", listener.local_addr().expect("an address"));
        let op = Op {
            origin: origin.clone(),
            redirect_uri: redirect_uri.into(),
            mark: "cAnArY".into(),
            password: "cAnArY-form-password".into(),
            lifetime: 300,
            claims: json!({}),
            error: None,
            iss: Some(origin.clone()),
            detour: None,
            device_answers: Vec::new(),
            client_assertion: None,
            refresh_tokens_are_given: true,
            out: None,
            retry_after: None,
            polled_at: Vec::new(),
            seen: Vec::new(),
            cookies: Vec::new(),
            codes: BTreeMap::new(),
            sessions: BTreeSet::new(),
            refresh_tokens: BTreeMap::new(),
        };
        let shared = Arc::new(Mutex::new(op));
        let serving = Arc::new(Shared {
            op: Arc::clone(&shared),
            key: Ed25519KeyPair::generate().expect("a key"),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || while serve(&serving, &stream).is_some() {});
            }
        });
        Self { shared, origin }
    }

    /// Reads or changes anything.
    pub fn op(&self) -> MutexGuard<'_, Op> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Token requests of this grant type.
    #[must_use]
    pub fn token_requests(&self, grant_type: &str) -> Vec<Form> {
        let op = self.op();
        let seen = op.seen.iter();
        seen.filter(|(_, path, form)| {
            path == "/token" && form.get("grant_type").is_some_and(|g| g == grant_type)
        })
        .map(|(_, _, form)| form.clone())
        .collect()
    }

    /// How often a path was asked for with this method.
    #[must_use]
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let op = self.op();
        let seen = op.seen.iter();
        seen.filter(|(m, p, _)| m == method && p == path).count()
    }
}

/// Goes where a person's browser goes, and returns where it ends.
#[must_use]
pub fn browse(provider: &Provider, url: &str) -> String {
    let url: Url = url.parse().expect("a URL");
    let form: Form = url.query_pairs().into_owned().collect();
    let mut op = provider.op();
    op.authorized(&form)
        .unwrap_or_else(|refused| panic!("{}: {}", refused.status, refused.body))
}

fn serve(shared: &Shared, stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut cookie) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "cookie" => cookie = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let origin = "http://x".parse::<Url>().ok()?;
    let url = origin.join(&target).ok()?;
    let mut form: Form = url.query_pairs().into_owned().collect();
    form.extend(url::form_urlencoded::parse(&body).into_owned());
    let answer = {
        let mut op = shared.op.lock().unwrap_or_else(PoisonError::into_inner);
        op.seen
            .push((method.clone(), url.path().to_owned(), form.clone()));
        op.cookies.push((url.path().to_owned(), cookie.clone()));
        op.answer(&shared.key, (&method, url.path()), &form, &cookie)
    };
    let headers: String = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let (status, length, body) = (answer.status, answer.body.len(), answer.body);
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    (&*stream).write_all(answer.as_bytes()).ok()
}

fn refused(status: u16, error: &str) -> Answer {
    Answer {
        status,
        headers: vec![("Content-Type", "application/json".into())],
        body: json!({"error": error}).to_string(),
    }
}

fn found(location: String) -> Answer {
    Answer {
        status: 302,
        headers: vec![("Location", location)],
        body: String::new(),
    }
}

fn ok(kind: &'static str, body: String) -> Answer {
    Answer {
        status: 200,
        headers: vec![("Content-Type", kind.into())],
        body,
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Op {
    fn answer(
        &mut self,
        key: &Ed25519KeyPair,
        (method, path): (&str, &str),
        form: &Form,
        cookie: &str,
    ) -> Answer {
        if let Some((out, left @ 1..)) = &mut self.out
            && path == *out
        {
            *left -= 1;
            let mut answer = refused(503, "temporarily_unavailable");
            let retry_after = self
                .retry_after
                .map(|after| ("Retry-After", after.to_string()));
            answer.headers.extend(retry_after);
            return answer;
        }
        match (method, path) {
            ("GET", "/.well-known/openid-configuration") => {
                let at = |path: &str| format!("{}{path}", self.origin);
                let metadata = json!({
                    "issuer": self.origin, "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
                    "authorization_endpoint": at("/auth?kc=1"),
                    "device_authorization_endpoint": at("/device"),
                    "authorization_response_iss_parameter_supported": self.iss.is_some(),
                });
                ok("application/json", metadata.to_string())
            }
            ("GET", "/jwks") => {
                let x = b64(key.public_key());
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x});
                ok("application/json", json!({"keys": [jwk]}).to_string())
            }
            ("GET", "/auth") => self.auth(form),
            ("GET", "/page") => self.page(form),
            ("POST", "/login/submit") => self.submit(form, cookie),
            ("GET", "/detour") => found(form.get("to").cloned().unwrap_or_default()),
            ("POST", "/device") => self.device(form),
            ("POST", "/token") => self.token(key, form),
            _ => refused(404, "not_found"),
        }
    }

    /// The authorization endpoint: checks, then leads to the page.
    fn auth(&mut self, form: &Form) -> Answer {
        if let Err(refusal) = self.check(form) {
            return refusal;
        }
        let session = format!("{}session{}", self.mark, random_text(20));
        self.sessions.insert(session.clone());
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut answer = found(format!("/page?{query}"));
        answer.headers.push((
            "Set-Cookie",
            format!("AUTH={session}; Path=/login/; HttpOnly; Secure"),
        ));
        answer
            .headers
            .push(("Set-Cookie", "KC_RESTART=x; Path=/".into()));
        answer
    }

    fn page(&self, form: &Form) -> Answer {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish()
            .replace('&', "&amp;");
        ok(
            "text/html;charset=utf-8",
            format!(
                "<html><form action=\"/search\"><input name=q></form>\n\
                 <form id=\"kc-form-login\" onsubmit=\"x = 1 < 2; return true;\" method=post \
                 action=\"/login/submit?{query}\"><input name=\"username\" type=\"text\">\
                 <input type=password name='password'><input type=hidden name=credentialId value='a&amp;b'>\
                 <input type=submit name=login value='Sign In'></form></html>"
            ),
        )
    }

    fn submit(&mut self, form: &Form, cookie: &str) -> Answer {
        let known = cookie.split("; ").any(|cookie| {
            let session = cookie.strip_prefix("AUTH=");
            session.is_some_and(|session| self.sessions.contains(session))
        });
        if !known || form.get("credentialId").is_none_or(|value| value != "a&b") {
            return refused(400, "session");
        }
        if form.contains_key("login") || form.get("password") != Some(&self.password) {
            // Keycloak shows the form again.
            return self.page(form);
        }
        match self.authorized(form) {
            Err(refusal) => refusal,
            Ok(location) => found(match &self.detour {
                Some(detour) => {
                    let to: String =
                        url::form_urlencoded::byte_serialize(location.as_bytes()).collect();
                    format!("{detour}?to={to}")
                }
                None => location,
            }),
        }
    }

    fn check(&self, form: &Form) -> Result<(), Answer> {
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        let loopback = get("redirect_uri").starts_with("http://127.0.0.1:");
        let right = [
            ("response_type", get("response_type") == "code"),
            ("kc", get("kc") == "1"),
            ("client_id", get("client_id") == CLIENT_ID),
            (
                "redirect_uri",
                get("redirect_uri") == self.redirect_uri
                    || self.redirect_uri.is_empty() && loopback,
            ),
            ("state", get("state").len() >= 43),
            ("nonce", get("nonce").len() >= 43),
            (
                "code_challenge_method",
                get("code_challenge_method") == "S256",
            ),
            ("code_challenge", get("code_challenge").len() == 43),
        ];
        match right.iter().find(|(_, right)| !right) {
            Some((name, _)) => Err(refused(400, name)),
            None => Ok(()),
        }
    }

    /// Where the browser is sent when somebody has logged in.
    fn authorized(&mut self, form: &Form) -> Result<String, Answer> {
        self.check(form)?;
        let mut location: Url = form["redirect_uri"].parse().expect("a redirect URI");
        {
            let mut query = location.query_pairs_mut();
            query.append_pair("state", &form["state"]);
            if let Some(iss) = &self.iss {
                query.append_pair("iss", iss);
            }
            match self.error {
                Some(error) => {
                    query.append_pair("error", error);
                }
                None => {
                    let code = format!("{}code{}", self.mark, random_text(30));
                    query.append_pair("code", &code);
                    self.codes.insert(code, form.clone());
                }
            }
        }
        Ok(location.into())
    }

    fn device(&mut self, form: &Form) -> Answer {
        if form.get("client_id").is_none_or(|id| id != CLIENT_ID) {
            return refused(401, "invalid_client");
        }
        let uri = format!("{}/verify", self.origin);
        let code = format!("{}device{}", self.mark, random_text(20));
        self.codes.insert(code.clone(), form.clone());
        let answer = json!({
            "device_code": code, "user_code": "WDJB-MJHT", "verification_uri": uri,
            "verification_uri_complete": format!("{uri}?user_code=WDJB-MJHT"),
            "expires_in": 120, "interval": 1,
        });
        ok("application/json", answer.to_string())
    }

    fn token(&mut self, key: &Ed25519KeyPair, form: &Form) -> Answer {
        let get = |name: &str| form.get(name).map_or("", String::as_str);
        let proven = match &self.client_assertion {
            None => get("client_secret") == CLIENT_SECRET,
            Some(expected) => {
                get("client_assertion") == expected
                    && get("client_assertion_type").ends_with(":client-assertion-type:jwt-bearer")
            }
        };
        if get("client_id") != CLIENT_ID || !proven {
            return refused(401, "invalid_client");
        }
        match get("grant_type") {
            "authorization_code" => {
                // RFC 6749 section 4.1.3, RFC 7636 section 4.6: once, same bytes, same person.
                let Some(asked) = self.codes.remove(get("code")) else {
                    return refused(400, "invalid_grant");
                };
                let hash = digest::digest(&digest::SHA256, get("code_verifier").as_bytes());
                if asked.get("redirect_uri") != form.get("redirect_uri")
                    || asked["code_challenge"] != b64(hash)
                {
                    return refused(400, "invalid_grant");
                }
                self.issue(key, asked.get("nonce"))
            }
            "urn:ietf:params:oauth:grant-type:device_code" => {
                self.polled_at.push(clock::now());
                if !self.codes.contains_key(get("device_code")) {
                    return refused(400, "invalid_grant");
                }
                if !self.device_answers.is_empty() {
                    return refused(400, self.device_answers.remove(0));
                }
                self.codes.remove(get("device_code"));
                self.issue(key, None)
            }
            "refresh_token" => match self
                .refresh_tokens
                .insert(get("refresh_token").into(), true)
            {
                Some(false) => self.issue(key, None),
                _ => refused(400, "invalid_grant"),
            },
            _ => refused(400, "unsupported_grant_type"),
        }
    }

    fn issue(&mut self, key: &Ed25519KeyPair, nonce: Option<&String>) -> Answer {
        let access_token = format!("{}at{}", self.mark, random_text(30));
        let refresh_token = format!("{}rt{}", self.mark, random_text(30));
        self.refresh_tokens.insert(refresh_token.clone(), false);
        let now = clock::unix_now().as_secs();
        let mut claims = json!({
            "iss": self.origin, "sub": "person", "aud": CLIENT_ID, "iat": now, "exp": now + 300,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        for (name, value) in self.claims.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "EdDSA", "kid": "k"});
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let id_token = format!("{signed}.{}", b64(key.sign(signed.as_bytes())));
        let mut answer = json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": self.lifetime,
            "refresh_token": refresh_token, "refresh_expires_in": 1800, "id_token": id_token,
        });
        if !self.refresh_tokens_are_given {
            answer["refresh_token"] = Value::Null;
        }
        ok("application/json", answer.to_string())
    }
}
