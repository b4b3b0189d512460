//! How requests get to a server: TLS, a proxy and timeouts.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::environment::Environment;
use super::keys::{Field, Keys};
use super::references::secret;
use super::secret_ref::SecretRef;
use super::units::{file_path, proxy_url, timeout};

/// How requests get to a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transport {
    /// TLS towards the server.
    pub tls: TlsConfig,
    /// A proxy. Without it, the environment's is used.
    pub proxy: Option<Url>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub timeout: Duration,
}

impl Transport {
    /// Reads the keys that say how requests get to a server.
    pub(super) fn read(keys: &mut Keys<'_>) -> Self {
        let tls = keys.optional("tls", tls).unwrap_or_default();
        let proxy = keys.optional("proxy", proxy_url);
        let connect_timeout = keys.optional("connect_timeout", timeout);
        let timeout = keys.optional("timeout", timeout);
        Self {
            tls,
            proxy,
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(10)),
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
        }
    }
}

/// `[client.NAME.tls]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsConfig {
    /// PEM bundle that replaces the system's roots for this client.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub identity: Option<TlsIdentity>,
}

impl TlsConfig {
    /// The files whose change may change the connection.
    pub(super) fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut paths: Vec<_> = self.ca.iter().cloned().collect();
        if let Some(identity) = &self.identity {
            paths.push(identity.certificate.clone());
            paths.extend(identity.key.path(environment));
        }
        paths
    }
}

/// A client certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsIdentity {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: SecretRef,
}

fn tls(field: Field<'_>) -> Option<TlsConfig> {
    let mut keys = field.keys()?;
    let ca = keys.optional("ca", file_path);
    let certificate = keys.optional("certificate", file_path);
    let key = keys.optional("key", secret);
    let identity = identity(&keys, certificate, key);
    keys.finish();
    Some(TlsConfig { ca, identity })
}

/// A client certificate and its key come together.
fn identity(
    keys: &Keys<'_>,
    certificate: Option<PathBuf>,
    key: Option<SecretRef>,
) -> Option<TlsIdentity> {
    match (keys.has("certificate"), keys.has("key")) {
        (true, false) => {
            let message = format!("`{}` has `certificate` without `key`", keys.name);
            let hint = "add its private key: `key = { file = \"/etc/bearerd/keys/NAME.key\" }`";
            keys.refuse("certificate", message, hint);
        }
        (false, true) => {
            let message = format!("`{}` has `key` without `certificate`", keys.name);
            keys.refuse(
                "key",
                message,
                "add `certificate = \"/etc/bearerd/keys/NAME.crt\"`",
            );
        }
        (true, true) | (false, false) => {}
    }
    Some(TlsIdentity {
        certificate: certificate?,
        key: key?,
    })
}
