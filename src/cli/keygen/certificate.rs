//! Self-signed certificates and certificate signing requests.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::clock;

/// A distinguished name as RFC 4514 writes it, without escapes.
#[derive(Clone, Debug)]
pub(super) struct Subject(DistinguishedName);

impl Subject {
    /// Reads `CN=a,O=b`, or `/CN=a/O=b` as OpenSSL writes it.
    pub(super) fn parse(text: &str) -> Result<Self, SubjectError> {
        let (separator, parts) = match text.strip_prefix('/') {
            Some(rest) => ('/', rest),
            None => (',', text),
        };
        let mut name = DistinguishedName::new();
        for part in parts.split(separator) {
            let pair = part.trim().split_once('=');
            let (attribute, value) = pair
                .filter(|(_, value)| !value.is_empty() && !value.contains(['\\', '"']))
                .ok_or_else(|| SubjectError::Pair(part.into()))?;
            let attribute = match attribute.to_ascii_uppercase().as_str() {
                "C" => DnType::CountryName,
                "CN" => DnType::CommonName,
                "L" => DnType::LocalityName,
                "O" => DnType::OrganizationName,
                "OU" => DnType::OrganizationalUnitName,
                "ST" => DnType::StateOrProvinceName,
                _ => return Err(SubjectError::Attribute(attribute.into())),
            };
            name.push(attribute, value);
        }
        match name.get(&DnType::CommonName) {
            Some(_) => Ok(Self(name)),
            None => Err(SubjectError::NoCommonName),
        }
    }
}

/// Why a text is no distinguished name for a certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum SubjectError {
    #[error("`{0}` is none of CN, O, OU, L, ST, C")]
    Attribute(String),
    #[error("no common name (`CN=NAME`)")]
    NoCommonName,
    #[error("`{0}` is not NAME=VALUE")]
    Pair(String),
}

/// Makes a certificate for TLS clients as PEM, which is valid from now.
pub(super) fn self_signed(
    subject: &Subject,
    days: u32,
    key: &KeyPair,
) -> Result<String, rcgen::Error> {
    let mut params = params(subject);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let now = Duration::from_secs(clock::unix_now().as_secs());
    params.not_before = date_time_ymd(1970, 1, 1) + now;
    params.not_after = params.not_before + Duration::from_secs(u64::from(days) * 86400);
    Ok(params.self_signed(key)?.pem())
}

/// Makes a request to a certificate authority as PEM.
pub(super) fn request(subject: &Subject, key: &KeyPair) -> Result<String, rcgen::Error> {
    params(subject).serialize_request(key)?.pem()
}

fn params(subject: &Subject) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject.0.clone();
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for good in ["CN=a", "/CN=a b/O=c", "cn=a, O=b,C=GB", "O=x,CN=é"] {
            assert!(Subject::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "O=x", "CN=", "CN=a\\,b", "CN=a,", "X=a,CN=b"] {
            assert!(Subject::parse(bad).is_err(), "{bad}");
        }
    }
}
