//! Assertions that bearerd signs in somebody's name.

use std::borrow::Cow;

use super::super::client::{ALG_HINT, AssertionConfig, SIGNATURE_ALGS, SignatureAlg};
use super::super::keys::Keys;
use super::super::references::secret;
use super::super::secret_ref::SecretRef;
use super::super::units::{one_of, text};

/// An assertion that bearerd signs in somebody's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedAssertion {
    /// PEM, PKCS#1, PKCS#8 or SEC1. It is read at each request.
    pub key: SecretRef,
    /// The signature algorithm.
    pub alg: SignatureAlg,
    /// `iss`. The default is the client's id.
    pub issuer: Option<String>,
    /// `sub`. Without it the assertion has none.
    pub subject: Option<String>,
    /// What else the assertion says.
    pub assertion: AssertionConfig,
}

impl SignedAssertion {
    pub(super) fn read(mut keys: Keys<'_>, key_hint: &str) -> Option<Self> {
        let key = keys.required("key", key_hint, secret);
        let alg = keys.required("alg", ALG_HINT, |alg| one_of(alg, &SIGNATURE_ALGS));
        let issuer = keys.optional("issuer", text);
        let subject = keys.optional("subject", text);
        let assertion = AssertionConfig::read(keys);
        Some(Self {
            key: key?,
            alg: alg?,
            issuer,
            subject,
            assertion: assertion?,
        })
    }

    /// What an assertion says decides what is obtained; how it is signed does not.
    pub(super) fn identity(&self) -> Vec<Cow<'_, str>> {
        let audience = self.assertion.audience.as_ref();
        let names = [self.issuer.as_ref(), self.subject.as_ref(), audience];
        let names = names.map(|name| name.map_or("", String::as_str).into());
        let mut identity = Vec::from(names);
        identity.push(self.assertion.claims.len().to_string().into());
        for (name, value) in &self.assertion.claims {
            identity.extend([name.into(), value.to_string().into()]);
        }
        identity
    }
}
