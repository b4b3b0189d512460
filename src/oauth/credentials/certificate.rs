//! X.509 certificates, as far as a client's own one has to be understood.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::CredentialsError;

/// The bytes of a file of certificates.
pub(in crate::oauth) fn bytes(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|cause| CredentialsError::Unreadable {
        path: path.into(),
        cause,
    })
}

/// The first certificate of a PEM file, which is the leaf.
pub(in crate::oauth) fn read(path: &Path) -> Result<CertificateDer<'static>, CredentialsError> {
    let pem = bytes(path)?;
    CertificateDer::from_pem_slice(&pem).map_err(|_| CredentialsError::Certificate(path.into()))
}

/// Whether the certificate is for this key.
pub(in crate::oauth) fn matches(
    certificate: &CertificateDer<'static>,
    key: &PrivateKeyDer<'_>,
) -> bool {
    any_supported_type(key).is_ok_and(|key| {
        CertifiedKey::new(vec![certificate.clone()], key)
            .keys_match()
            .is_ok()
    })
}

/// Whether a certificate has the version without extensions (RFC 5280 section 4.1.2.1): it does not
/// name its version.
pub(in crate::oauth) fn is_version_1(certificate: &[u8]) -> bool {
    let signed = element(certificate).and_then(|(_, certificate, _)| element(certificate));
    signed.is_some_and(|(_, signed, _)| signed.first() != Some(&0xa0))
}

/// `notAfter`, since the epoch (RFC 5280 section 4.1.2.5); `None` for what is no certificate.
pub(in crate::oauth) fn not_after(certificate: &[u8]) -> Option<Duration> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // version [0] is optional; then serialNumber, signature and issuer come before validity.
    if rest.first() == Some(&0xa0) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    parse_time(tag, std::str::from_utf8(time).ok()?)
}

/// One DER element: its tag, its content, and what follows it.
pub(in crate::oauth) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if octets.len() > 4 {
            return None;
        }
        let length = octets.iter().fold(0, |n, &o| n << 8 | usize::from(o));
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `UTCTime` has two digits of the year, from 1950 to 2049; `GeneralizedTime` has four.
fn parse_time(tag: u8, time: &str) -> Option<Duration> {
    let time = match tag {
        0x17 if time.get(..2)? < "50" => format!("20{time}"),
        0x17 => format!("19{time}"),
        0x18 => time.to_owned(),
        _ => return None,
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &time).ok()?;
    let at = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Duration::from_secs(u64::try_from(at.as_second()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_after_of_both_time_forms() {
        for (year, seconds) in [(2049, 2_493_072_000), (2050, 2_524_608_000)] {
            let mut params = rcgen::CertificateParams::new(vec!["x.example".into()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(
                not_after(certificate.der()),
                Some(Duration::from_secs(seconds))
            );
            for cut in 0..certificate.der().len() / 3 {
                assert_eq!(not_after(&certificate.der()[..cut]), None);
            }
        }
    }

    #[test]
    fn matches_its_own_key_only() {
        let key = rcgen::KeyPair::generate().unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let der = |key: &rcgen::KeyPair| PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        assert!(matches(certificate.der(), &der(&key)));
        assert!(!matches(certificate.der(), &der(&other)));
    }
}
