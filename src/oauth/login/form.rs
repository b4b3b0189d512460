//! A login without a person: the provider's pages are followed to its form, which is filled in and sent
//! once, and from there to the redirect URI.

use ::http::{HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::authorization::{Authorization, Redemption};
use super::cookies::Cookies;
use super::error::LoginError;
use super::html::{self, Form};
use crate::oauth::error::SourceError;
use crate::oauth::registration::Registration;
use crate::oauth::transport::http::{self, Answer};

/// The fields of the form, by name.
pub(in crate::oauth) type Fields = Vec<(String, SecretString)>;

/// Walks from the authorization endpoint to the redirect URI.
pub(super) async fn walk(
    registration: &Registration,
    authorization: &Authorization,
    fields: &Fields,
) -> Result<Redemption, SourceError> {
    let mut walk = Walk {
        registration,
        cookies: Cookies::default(),
    };
    let start = Url::parse(&authorization.url).map_err(|_| SourceError::RequestEncoding)?;
    let mut page = walk.visit(&start, None).await?;
    let mut at = start;
    let mut filled_in = false;
    for _ in 0..MAX_STEPS {
        if let Some(next) = redirect(&page, &at) {
            if authorization.is_end(&next) {
                return authorization
                    .answered(next.as_str())
                    .map_err(SourceError::Login);
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
    ) -> Result<Answer, SourceError> {
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
            let mut value = HeaderValue::from_str(cookies.expose_secret())
                .map_err(|_| SourceError::RequestEncoding)?;
            value.set_sensitive(true);
            request = request.header(header::COOKIE, value);
        }
        let answer = http::exchange(request, url).await?;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            if let Ok(cookie) = cookie.to_str() {
                self.cookies.set(url, cookie);
            }
        }
        Ok(answer)
    }
}

/// Where an answer leads. After any redirect the next page is asked for with GET, as browsers do; 307 and
/// 308 would send the form a second time, perhaps elsewhere.
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

/// Credentials go to https, or to loopback where the server itself is reached so.
fn safe(url: Url, server: &Url) -> Result<Url, SourceError> {
    let as_safe = url.scheme() == "https" || server.scheme() == "http";
    let anonymous = url.username().is_empty() && url.password().is_none();
    match as_safe && anonymous && http::is_confidential(&url) {
        true => Ok(url),
        false => Err(LoginError::LedAstray(http::server(&url)).into()),
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
