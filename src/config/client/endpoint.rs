//! Where a client's requests go.

use super::super::keys::Keys;
use super::super::units::{HttpsUrl, https_url};

/// Where tokens are requested.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// Discovered from the issuer (RFC 8414, OpenID Connect Discovery). Kept as written: the issuer
    /// in the metadata must equal it byte for byte.
    Issuer(HttpsUrl),
    /// Used byte for byte as configured: trailing slashes matter to some servers.
    TokenEndpoint(HttpsUrl),
}

impl Endpoint {
    /// The URL, whichever it is.
    #[must_use]
    pub const fn url(&self) -> &HttpsUrl {
        let (Self::Issuer(url) | Self::TokenEndpoint(url)) = self;
        url
    }

    /// Reads `issuer` or `token_endpoint`, of which there is exactly one.
    pub(super) fn read(keys: &mut Keys<'_>) -> Option<Self> {
        let issuer = keys.optional("issuer", |field| {
            let issuer = https_url(field)?;
            // RFC 8414 section 2.
            match issuer.url.query() {
                Some(_) => field.must_be("a URL without query (`?…`)", ""),
                None => Some(issuer),
            }
        });
        let token_endpoint = keys.optional("token_endpoint", https_url);
        match (keys.has("issuer"), keys.has("token_endpoint")) {
            (true, true) => {
                let hint = "with `issuer` the token endpoint is discovered; keep \
                            `token_endpoint` where the server has no discovery or its endpoint \
                            must be used as written";
                let message = format!("`{}` has both `issuer` and `token_endpoint`", keys.name);
                keys.refuse("token_endpoint", message, hint);
                None
            }
            (false, false) => {
                let hint =
                    "add `issuer = \"https://…\"` (discovery) or `token_endpoint = \"https://…\"`";
                keys.lacks("`issuer` or `token_endpoint`", hint);
                None
            }
            (true, false) => issuer.map(Self::Issuer),
            (false, true) => token_endpoint.map(Self::TokenEndpoint),
        }
    }
}

/// Where people log in, if not where the metadata say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LoginEndpoints {
    /// `authorization_endpoint` (RFC 8414 section 2).
    pub authorization: Option<HttpsUrl>,
    /// `device_authorization_endpoint` (RFC 8628 section 4).
    pub device_authorization: Option<HttpsUrl>,
}
