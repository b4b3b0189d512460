//! Values of a client that stand in documents at a server.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::error::CredentialsError;
use crate::config::{DocumentRef, SecretError};

/// What stands at the places asked for, by document and pointer.
#[derive(Default)]
pub(in crate::oauth) struct Values(BTreeMap<(String, String), SecretString>);

impl Values {
    /// Notes what stands at a place.
    pub(in crate::oauth) fn insert(&mut self, place: &DocumentRef, text: SecretString) {
        let key = (place.document.name.clone(), place.pointer.clone());
        self.0.insert(key, text);
    }

    /// What stands at a place; `what` is the configuration key that an error names.
    pub(in crate::oauth) fn at(
        &self,
        what: &'static str,
        place: &DocumentRef,
    ) -> Result<&SecretString, CredentialsError> {
        let name = place.document.name.clone();
        let value = self.0.get(&(name.clone(), place.pointer.clone()));
        value.ok_or(CredentialsError::Secret {
            what,
            cause: SecretError::NotFetched(name),
        })
    }

    /// Whether the same stands at the same places.
    pub(in crate::oauth) fn equals(&self, other: &Self) -> bool {
        let exposed = |values: &Self| -> Vec<String> {
            let values = values.0.values();
            values.map(|value| value.expose_secret().into()).collect()
        };
        self.0.keys().eq(other.0.keys()) && exposed(self) == exposed(other)
    }
}
