//! A login without a person: the provider's pages are followed to its form, which is filled in and
//! sent once, and from there to the redirect URI.

use std::time::Duration;

use ::http::{StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::authorization::{Authorization, Redemption};
use super::code::{authorize, redeem_patiently};
use super::cookies::Cookies;
use super::error::LoginError;
use super::html::{self, Form};
use crate::config::{AuthorizationCode, FormValue, TokenConfig};
use crate::oauth::credentials::CredentialsError;
use crate::oauth::error::ObtainError;
use crate::oauth::input_tokens::InputTokens;
use crate::oauth::registration::Registration;
use crate::oauth::transport::EncodingError;
use crate::oauth::transport::address::{is_confidential, server};
use crate::oauth::transport::exchange::{Answer, exchange};
use crate::oauth::transport::headers::sensitive;
use crate::token::Token;

/// The fields of the form, by name.
type Fields = Vec<(String, SecretString)>;

/// Logs in by filling in the provider's form.
pub(in crate::oauth) async fn by_form(
    registration: &Registration,
    token: &TokenConfig,
    grant: &AuthorizationCode,
    input_tokens: &InputTokens,
) -> Result<Token, ObtainError> {
    let authorization = authorize(registration, token, grant, None).await?;
    let fields = fields(registration, grant)?;
    let walk = walk(registration, &authorization, &fields);
    let limit = FORM_TIMEOUTS * registration.config.timeout;
    let walked = tokio::time::timeout(limit, walk).await;
    let redemption = walked.unwrap_or(Err(ObtainError::Login(LoginError::TooSlow)))?;
    // It has a schedule, and fills in the form again.
    redeem_patiently(
        registration,
        token,
        redemption,
        input_tokens,
        Duration::ZERO,
    )
    .await
}

/// What the form is filled in with. Passwords are read at each login.
fn fields(
    registration: &Registration,
    grant: &AuthorizationCode,
) -> Result<Fields, CredentialsError> {
    let fields = grant.form_login.iter().flatten();
    fields
        .map(|(name, value)| {
            let value = match value {
                FormValue::Plain(value) => value.as_str().into(),
                FormValue::Secret(secret) => {
                    registration.read("grant.authorization_code.form_login", secret)?
                }
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// Walks from the authorization endpoint to the redirect URI.
async fn walk(
    registration: &Registration,
    authorization: &Authorization,
    fields: &Fields,
) -> Result<Redemption, ObtainError> {
    let mut walk = Walk {
        registration,
        cookies: Cookies::default(),
    };
    let start = Url::parse(&authorization.url).map_err(|_| EncodingError)?;
    let mut page = walk.visit(&start, None).await?;
    let mut at = start;
    let mut filled_in = false;
    for _ in 0..MAX_STEPS {
        if let Some(next) = redirect(&page, &at) {
            if authorization.is_end(&next) {
                return authorization
                    .answered(next.as_str())
                    .map_err(ObtainError::Login);
            }
            at = safe(next, &registration.config.endpoint.url().url)?;
            page = walk.visit(&at, None).await?;
            continue;
        }
        if !page.status.is_success() {
            return Err(match filled_in && page.status.is_client_error() {
                true => LoginError::FormRefused,
                false => LoginError::Page(page.status),
            }
            .into());
        }
        if filled_in {
            return Err(LoginError::FormRefused.into());
        }
        let form = choose(&page.body, fields)?;
        let action = at.join(&form.action);
        let action = action.map_err(|_| LoginError::NoForm(names(fields)))?;
        at = safe(action, &registration.config.endpoint.url().url)?;
        page = walk.visit(&at, Some(body(&form, fields))).await?;
        filled_in = true;
    }
    Err(LoginError::TooManyRedirects.into())
}

struct Walk<'a> {
    registration: &'a Registration,
    cookies: Cookies,
}

impl Walk<'_> {
    async fn visit(
        &mut self,
        url: &Url,
        form: Option<Zeroizing<String>>,
    ) -> Result<Answer, ObtainError> {
        let client = &self.registration.http.pooled;
        let mut request = match form {
            None => client.get(url.clone()),
            Some(form) => client
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_bytes().to_vec()),
        };
        request = request.header(header::ACCEPT, "text/html");
        if let Some(cookies) = self.cookies.header(url) {
            let cookies = sensitive(cookies.expose_secret())?;
            request = request.header(header::COOKIE, cookies);
        }
        let answer = exchange(request, url).await?;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            if let Ok(cookie) = cookie.to_str() {
                self.cookies.set(url, cookie);
            }
        }
        Ok(answer)
    }
}

/// Where an answer leads. After any redirect the next page is asked for with GET, as browsers do;
/// 307 and 308 would send the form a second time, perhaps elsewhere.
fn redirect(answer: &Answer, from: &Url) -> Option<Url> {
    let redirects = matches!(
        answer.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = answer.headers.get(header::LOCATION)?.to_str().ok()?;
    redirects.then(|| from.join(location).ok()).flatten()
}

/// Credentials go to https, or to loopback where the provider itself is reached so.
fn safe(url: Url, reached: &Url) -> Result<Url, ObtainError> {
    let as_safe = url.scheme() == "https" || reached.scheme() == "http";
    let anonymous = url.username().is_empty() && url.password().is_none();
    match as_safe && anonymous && is_confidential(&url) {
        true => Ok(url),
        false => Err(LoginError::LedAstray(server(&url)).into()),
    }
}

/// Keycloak's form by its id, else the first one that has all the fields.
fn choose(page: &[u8], fields: &Fields) -> Result<Form, LoginError> {
    let page = String::from_utf8_lossy(page);
    let takes = |form: &Form| {
        let has = |name: &String| form.inputs.iter().any(|input| input.name == *name);
        form.post && fields.iter().all(|(name, _)| has(name))
    };
    let mut forms = html::forms(&page)
        .into_iter()
        .filter(takes)
        .collect::<Vec<_>>();
    let keycloak = forms.iter().position(|form| form.id == "kc-form-login");
    match (keycloak, forms.is_empty()) {
        (_, true) => Err(LoginError::NoForm(names(fields))),
        (at, false) => Ok(forms.swap_remove(at.unwrap_or_default())),
    }
}

fn names(fields: &Fields) -> String {
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

/// What is hidden in the form, and what we fill in.
fn body(form: &Form, fields: &Fields) -> Zeroizing<String> {
    let given = |name: &str| fields.iter().any(|(field, _)| field == name);
    let hidden = form
        .inputs
        .iter()
        .filter(|input| input.hidden && !given(&input.name));
    let pairs: Vec<(&str, &str)> = hidden
        .map(|input| (&*input.name, &*input.value))
        .chain(
            fields
                .iter()
                .map(|(name, value)| (&**name, value.expose_secret())),
        )
        .collect();
    let size: usize = pairs.iter().map(|(n, v)| 3 * (n.len() + v.len()) + 2).sum();
    let mut form = url::form_urlencoded::Serializer::new(String::with_capacity(size));
    form.extend_pairs(pairs);
    Zeroizing::new(form.finish())
}

/// Redirects and pages of one login, at most.
const MAX_STEPS: usize = 12;

/// How long the login pages may take in all, in timeouts of a request.
const FORM_TIMEOUTS: u32 = 2;
