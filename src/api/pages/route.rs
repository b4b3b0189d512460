//! Finds the page that a request line asks for, and says what a caller must be allowed to get it.

use bearerd_core::credential::TokenName;
use http::{Method, Uri};

use super::event_stream;
use crate::api::access::Right;
use crate::api::code::Code;
use crate::api::problem::Problem;

/// The page that a request asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// `GET /v1/tokens/{name}/access_token`.
    AccessToken(TokenName),
    /// `GET /v1/events`, of one token or of all.
    Events(Option<TokenName>),
    /// `GET /healthz`.
    Health,
    /// `GET /v1/tokens`.
    List,
    /// `POST /v1/tokens/{name}/login`.
    Login(TokenName),
    /// `POST /v1/tokens/{name}/login/complete`.
    LoginComplete(TokenName),
    /// `GET /metrics`.
    Metrics,
    /// `POST /v1/tokens/{name}/logout`.
    Logout(TokenName),
    /// `GET /readyz`.
    Readiness,
    /// `POST /v1/tokens/{name}/refresh`.
    Refresh(TokenName),
    /// `GET /v1/status`.
    Status,
    /// `GET /v1/tokens/{name}`.
    Token(TokenName),
    /// `GET /v1/status/{name}`.
    TokenStatus(TokenName),
}

impl Route {
    /// Finds the route of a request line.
    ///
    /// # Errors
    /// A [`Problem`] for a path that is no page, for a name that no token can have, and for a
    /// method that the page does not have.
    pub(super) fn find(method: &Method, uri: &Uri) -> Result<Self, Problem> {
        let not_found = || Problem::new(Code::NotFound, "no such page");
        let name = |name: &str| TokenName::parse(name).map_err(|_| not_found());
        let segments: Vec<&str> = uri.path().split('/').skip(1).take(6).collect();
        let route = match segments.as_slice() {
            ["healthz"] => Self::Health,
            ["metrics"] => Self::Metrics,
            ["readyz"] => Self::Readiness,
            ["v1", "events"] => Self::Events(event_stream::filter(uri.query())?),
            ["v1", "status"] => Self::Status,
            ["v1", "status", of] => Self::TokenStatus(name(of)?),
            ["v1", "tokens"] => Self::List,
            ["v1", "tokens", of] => Self::Token(name(of)?),
            ["v1", "tokens", of, "access_token"] => Self::AccessToken(name(of)?),
            ["v1", "tokens", of, "login"] => Self::Login(name(of)?),
            ["v1", "tokens", of, "login", "complete"] => Self::LoginComplete(name(of)?),
            ["v1", "tokens", of, "logout"] => Self::Logout(name(of)?),
            ["v1", "tokens", of, "refresh"] => Self::Refresh(name(of)?),
            _ => return Err(not_found()),
        };
        match (&route, method) {
            (
                Self::Login(_) | Self::LoginComplete(_) | Self::Logout(_) | Self::Refresh(_),
                &Method::POST,
            ) => Ok(route),
            (Self::Login(_) | Self::LoginComplete(_) | Self::Logout(_) | Self::Refresh(_), _) => {
                Err(Problem::method(method, "POST"))
            }
            (_, &Method::GET | &Method::HEAD) => Ok(route),
            _ => Err(Problem::method(method, "GET, HEAD")),
        }
    }

    /// The token, and the right to it that a caller must have. No other place says so. `None` means
    /// that it is enough to have the right to read any token, as the page shows nothing of others.
    #[must_use]
    pub(super) const fn token(&self) -> Option<(&TokenName, Right)> {
        match self {
            Self::Events(Some(name)) => Some((name, Right::Read)),
            Self::Events(None)
            | Self::Health
            | Self::List
            | Self::Metrics
            | Self::Readiness
            | Self::Status => None,
            // The answer to a refresh holds the new token; whoever may not read it gains nothing
            // from one.
            Self::AccessToken(name)
            | Self::Refresh(name)
            | Self::Token(name)
            | Self::TokenStatus(name) => Some((name, Right::Read)),
            // Others use the token that one has logged in for.
            Self::Login(name) | Self::LoginComplete(name) | Self::Logout(name) => {
                Some((name, Right::LogIn))
            }
        }
    }

    /// The query parameters that the page knows.
    #[must_use]
    pub(super) const fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::AccessToken(_) | Self::Token(_) => &["min_ttl", "wait"],
            Self::LoginComplete(_) | Self::Refresh(_) => &["wait"],
            Self::Events(_)
            | Self::Health
            | Self::List
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Metrics
            | Self::Readiness
            | Self::Status
            | Self::TokenStatus(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> Result<Route, Problem> {
        Route::find(
            method,
            &path.parse().unwrap_or_else(|_| Uri::from_static("/")),
        )
    }

    fn status(method: &Method, path: &str) -> u16 {
        let problem = find(method, path).unwrap_err();
        problem.into_response().status().as_u16()
    }

    #[test]
    fn routes() {
        let lev = TokenName::parse("lev").unwrap();
        let get = |path| find(&Method::GET, path).unwrap();
        assert_eq!(get("/v1/tokens"), Route::List);
        assert_eq!(get("/v1/tokens/lev"), Route::Token(lev.clone()));
        assert_eq!(
            get("/v1/tokens/lev/access_token"),
            Route::AccessToken(lev.clone())
        );
        assert_eq!(get("/v1/status/lev"), Route::TokenStatus(lev.clone()));
        assert_eq!(
            find(&Method::POST, "/v1/tokens/lev/refresh").unwrap(),
            Route::Refresh(lev)
        );
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/tokens/",
            "/v1/tokens/..",
            "/v1/tokens/a%2Fb",
            "/v1/tokens/lev/",
            "/v1/tokens/lev/x",
            "/v1/tokens/lev/refresh/x",
            "/v2/tokens",
            "x/healthz/y",
        ] {
            assert_eq!(status(&Method::GET, path), 404, "{path}");
        }
        assert_eq!(status(&Method::GET, "/v1/tokens/lev/refresh"), 405);
        assert_eq!(status(&Method::GET, "/v1/tokens/lev/logout"), 405);
        assert_eq!(status(&Method::DELETE, "/v1/tokens/lev"), 405);
        assert_eq!(status(&Method::POST, "/healthz"), 405);
    }
}
