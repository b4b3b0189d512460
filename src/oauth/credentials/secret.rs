//! Secrets, read where the configuration says that they are.

use secrecy::SecretString;

use super::error::CredentialsError;
use crate::config::{Environment, SecretRef};

/// Reads a secret; `what` is the configuration key that an error names.
pub(in crate::oauth) fn read(
    what: &'static str,
    secret: &SecretRef,
    environment: &Environment,
) -> Result<SecretString, CredentialsError> {
    secret
        .read(environment)
        .map_err(|cause| CredentialsError::Secret { what, cause })
}
