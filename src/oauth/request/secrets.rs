//! What a server could echo of a request.

use secrecy::SecretString;

use super::grant::GrantRequest;
use super::proof::Proof;
use crate::oauth::credentials::client_auth::Credentials;
use crate::oauth::registration::Registration;

/// What a server could echo of the request, and what an error must not show therefore.
pub(in crate::oauth) fn secrets<'a>(
    registration: &'a Registration,
    grant: &'a GrantRequest,
    proof: &'a Proof<'_>,
) -> Vec<&'a SecretString> {
    let mut secrets = Vec::new();
    match grant.credentials(registration) {
        Credentials::Basic {
            encoded,
            client_secret,
        } => secrets.extend([client_secret, encoded]),
        Credentials::Post(client_secret) => secrets.push(client_secret),
        Credentials::Assertion(_) | Credentials::Id | Credentials::Made(_) => {}
    }
    match grant {
        GrantRequest::AuthorizationCode(redemption) => {
            secrets.extend([&redemption.code, &redemption.code_verifier]);
        }
        GrantRequest::ClientCredentials
        | GrantRequest::DeviceAuthorization
        | GrantRequest::ToSign(_) => {}
        GrantRequest::DeviceCode(device_code) => secrets.push(device_code),
        GrantRequest::JwtBearer(assertion) => secrets.push(assertion),
        GrantRequest::Password { password, .. } => secrets.push(password),
        GrantRequest::RefreshToken(refresh_token) => secrets.push(refresh_token),
        GrantRequest::TokenExchange {
            subject_token,
            actor_token,
        } => {
            secrets.push(subject_token);
            secrets.extend(actor_token);
        }
    }
    if let Proof::Assertion(assertion) = proof {
        secrets.push(assertion);
    }
    secrets
}
