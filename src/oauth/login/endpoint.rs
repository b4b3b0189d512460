//! The endpoints at which logins begin.

use super::error::LoginError;
use crate::config::HttpsUrl;
use crate::oauth::error::ObtainError;
use crate::oauth::provider::Metadata;
use crate::oauth::registration::Registration;

/// Where a user logs in: as configured, else as the metadata say.
pub(super) async fn authorization(registration: &Registration) -> Result<HttpsUrl, ObtainError> {
    let configured = registration.config.login_endpoints.authorization.clone();
    let name = "authorization_endpoint";
    find(registration, configured, name, |metadata| {
        metadata.authorization_endpoint.clone()
    })
    .await
}

/// Where a login on another device begins: as configured, else as the metadata say.
pub(super) async fn device_authorization(
    registration: &Registration,
) -> Result<HttpsUrl, ObtainError> {
    let endpoints = &registration.config.login_endpoints;
    let configured = endpoints.device_authorization.clone();
    let name = "device_authorization_endpoint";
    find(registration, configured, name, |metadata| {
        metadata.device_authorization_endpoint.clone()
    })
    .await
}

async fn find(
    registration: &Registration,
    configured: Option<HttpsUrl>,
    name: &'static str,
    named: impl FnOnce(&Metadata) -> Option<HttpsUrl>,
) -> Result<HttpsUrl, ObtainError> {
    if let Some(url) = configured {
        return Ok(url);
    }
    match registration.metadata().await {
        Ok(metadata) => named(&metadata).ok_or(LoginError::NoEndpoint(name).into()),
        Err(ObtainError::NoIssuer) => Err(LoginError::NoEndpoint(name).into()),
        Err(error) => Err(error),
    }
}
