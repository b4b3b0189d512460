//! TLS: whom we trust, who trusts us, and what errors say of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bearerd::config::{ClientAuth, ClientConfig, GrantConfig, SecretRef, TlsIdentity};
use bearerd::oauth::{Client, NoAnswer, ObtainError, Trouble};
use bearerd_core::refresh::{Delivery, FailureKind};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::configuration::{Setup, TOKEN, client, environment, write};
use support::script::{Server, answer};

struct Ca {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let name = format!("test CA {}", URL_SAFE_NO_PAD.encode(key.public_key_raw()));
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, &name[..24]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        let path = self.directory.path().join("ca.pem");
        write(&path, &self.certificate.pem());
        path
    }

    fn leaf(&self, name: &str, year: i32) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().clone(), key)
    }

    /// A certificate and key for a client, as files.
    fn identity(&self, directory: &Path) -> TlsIdentity {
        let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let certificate = directory.join("client.crt");
        write(&certificate, &leaf.pem());
        let key_path = directory.join("client.key");
        write(&key_path, &key.serialize_pem());
        TlsIdentity {
            certificate,
            key: SecretRef::File(key_path),
        }
    }
}

async fn start(ca: &Ca, name: &str, year: i32, clients: Option<&Ca>) -> Server {
    let (leaf, key) = ca.leaf(name, year);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.certificate.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder.with_single_cert(vec![leaf], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start_tls(Some(acceptor), |_| answer(200, "", TOKEN)).await
}

fn at(server: &Server, ca: Option<&Ca>) -> ClientConfig {
    let mut config = client(&format!("https://localhost:{}/t", server.address.port()));
    config.tls.ca = ca.map(Ca::path);
    config
}

async fn fails(config: ClientConfig) -> (Trouble, FailureKind, Delivery) {
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    let error = setup.primary().await.unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    let failure = error.failure();
    match error {
        ObtainError::NoAnswer(NoAnswer { trouble, .. }) => {
            (trouble, failure.kind, failure.delivery)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_private_ca_replaces_the_systems_roots() {
    let ca = Ca::new();
    let server = start(&ca, "localhost", 2099, None).await;
    let setup = Setup::new(at(&server, Some(&ca)), GrantConfig::ClientCredentials);
    setup.primary().await.unwrap();

    let another = Ca::new();
    for untrusting in [at(&server, None), at(&server, Some(&another))] {
        let expected = (
            Trouble::CertificateUnknownIssuer,
            FailureKind::Misconfigured,
            Delivery::NotSent,
        );
        assert_eq!(fails(untrusting).await, expected);
    }
}

#[tokio::test]
async fn certificates_that_do_not_fit() {
    let ca = Ca::new();
    for (name, year, trouble) in [
        ("other.example", 2099, Trouble::CertificateWrongName),
        ("localhost", 2001, Trouble::CertificateExpired),
    ] {
        let server = start(&ca, name, year, None).await;
        let expected = (trouble, FailureKind::Misconfigured, Delivery::NotSent);
        assert_eq!(fails(at(&server, Some(&ca))).await, expected);
    }
}

#[tokio::test]
async fn a_port_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut config = client(&format!("https://localhost:{port}/t"));
    config.connect_timeout = Duration::from_millis(300);
    let ca = Ca::new();
    config.tls.ca = Some(ca.path());
    // the listener's queue takes the connection, but nobody shakes hands
    let setup = Setup::new(config.clone(), GrantConfig::ClientCredentials);
    let silent = setup.primary().await.unwrap_err();
    assert!(
        silent.to_string().ends_with("cannot connect in time"),
        "{silent}"
    );
    assert_eq!(silent.failure().delivery, Delivery::NotSent);

    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .ok();
        }
    });
    let expected = (Trouble::Tls, FailureKind::Unavailable, Delivery::NotSent);
    assert_eq!(fails(config).await, expected);
    answering.abort();
}

#[tokio::test]
async fn tls_client_auth() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let mut server = start(&ca, "localhost", 2099, Some(&clients)).await;
    let mut config = at(&server, Some(&ca));
    config.auth = ClientAuth::TlsClientAuth;
    let nobody = fails(config.clone()).await;
    let expected = (
        Trouble::ClientCertificateRequired,
        FailureKind::Misconfigured,
        Delivery::NotSent,
    );
    assert_eq!(nobody, expected);

    let directory = tempfile::tempdir().unwrap();
    config.tls.identity = Some(Ca::new().identity(directory.path()));
    let expected = (
        Trouble::ClientCertificateRefused,
        FailureKind::Misconfigured,
        Delivery::NotSent,
    );
    assert_eq!(fails(config.clone()).await, expected);

    config.tls.identity = Some(clients.identity(directory.path()));
    let setup = Setup::new(config, GrantConfig::ClientCredentials);
    setup.primary().await.unwrap();
    let seen = server.seen().remove(0);
    assert_eq!(
        seen.body,
        "grant_type=client_credentials&scope=s&client_id=id"
    );
}

fn refused(identity: TlsIdentity) -> ObtainError {
    let mut config = client("https://as.example/t");
    config.tls.identity = Some(identity);
    match Client::load(config.into(), environment()) {
        Err(error) => error,
        Ok(_) => panic!("loaded"),
    }
}

#[test]
fn identities_of_no_use() {
    let ca = Ca::new();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut identity = ca.identity(one.path());
    identity.key = ca.identity(two.path()).key;
    let error = refused(identity.clone()).to_string();
    assert!(
        error.ends_with("the certificate is for another key"),
        "{error}"
    );

    identity.key = SecretRef::File(identity.certificate.clone());
    let error = refused(identity.clone());
    assert_eq!(error.to_string(), "tls.key cannot be used");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "it is a certificate, not a private key");

    let path = one.path().join("empty.crt");
    write(&path, "");
    identity.certificate = path.clone();
    let error = refused(identity).to_string();
    assert_eq!(
        error,
        format!("{} holds no PEM certificate", path.display())
    );
}
