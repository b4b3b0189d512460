//! `[daemon]` and `[client.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use bearerd_core::refresh::Limits;

use super::auth::client_auth;
use super::document::{Documents, client_id};
use super::environment::Environment;
use super::keys::{Field, Keys};
use super::model::{
    BodyFormat, ClientConfig, DaemonConfig, LoginEndpoints, NotifyConfig, TlsConfig, Transport,
};
use super::references::secret;
use super::token::{COMMAND_HINT, command};
use super::units::{
    boolean, count, duration, file_path, https_url, one_of, path, proxy_url, text, timeout,
};
use super::validate;

/// Reads `[daemon]`.
pub(super) fn daemon(field: Field<'_>, defaults: &DaemonConfig) -> Option<DaemonConfig> {
    let mut keys = field.keys()?;
    let state_dir = keys.optional("state_dir", path);
    let runtime_dir = keys.optional("runtime_dir", path);
    let oidc_agent = keys.optional("oidc_agent", boolean);
    let log = keys.optional("log", log_filter);
    let notify = keys.optional("notify", notify);
    keys.finish();
    Some(DaemonConfig {
        state_dir: state_dir.unwrap_or_else(|| defaults.state_dir.clone()),
        runtime_dir: runtime_dir.unwrap_or_else(|| defaults.runtime_dir.clone()),
        oidc_agent: oidc_agent.unwrap_or(defaults.oidc_agent),
        log: log.unwrap_or_else(|| defaults.log.clone()),
        notify: notify.or_else(|| defaults.notify.clone()),
    })
}

fn notify(field: Field<'_>) -> Option<NotifyConfig> {
    let mut keys = field.keys()?;
    let command = keys.required("command", COMMAND_HINT, command);
    let timeout = keys.optional("timeout", timeout);
    keys.finish();
    Some(NotifyConfig {
        command: command?,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

/// What holds without `[daemon]`: systemd's directories, else the system's, else, for a user's own daemon,
/// the user's (XDG Base Directory Specification).
pub(super) fn daemon_defaults(environment: &Environment, root: bool) -> DaemonConfig {
    let own = |dir: Option<PathBuf>| dir.filter(|_| !root).map(|dir| dir.join("bearerd"));
    let user_state = environment.directory("XDG_STATE_HOME").or_else(|| {
        let home = environment.directory("HOME")?;
        Some(home.join(".local/state"))
    });
    let user_runtime = environment.directory("XDG_RUNTIME_DIR");
    DaemonConfig {
        state_dir: environment
            .directory("STATE_DIRECTORY")
            .or_else(|| own(user_state))
            .unwrap_or_else(|| "/var/lib/bearerd".into()),
        runtime_dir: environment
            .directory("RUNTIME_DIRECTORY")
            .or_else(|| own(user_runtime))
            .unwrap_or_else(|| "/run/bearerd".into()),
        oidc_agent: false,
        log: "info".into(),
        notify: None,
    }
}

/// `LEVEL` or `TARGET=LEVEL`, several separated by commas.
fn log_filter(field: Field<'_>) -> Option<String> {
    let filter = text(field)?;
    let level = |word: &str| LEVELS.contains(&word.trim());
    let known = |part: &str| match part.split_once('=') {
        Some((target, word)) => !target.trim().is_empty() && level(word),
        None => level(part),
    };
    if !filter.split(',').all(known) {
        let what = "a log filter such as \"info\" or \"bearerd::oauth=debug,info\"";
        return field.must_be(what, &format!("the levels are {}", LEVELS.join(", ")));
    }
    Some(filter)
}

/// Reads `[client.NAME]`.
pub(super) fn client(field: Field<'_>, documents: &Documents) -> Option<ClientConfig> {
    let mut keys = field.keys()?;
    let endpoint = validate::endpoint(&mut keys);
    let authorization = keys.optional("authorization_endpoint", https_url);
    let device_authorization = keys.optional("device_authorization_endpoint", https_url);
    let revocation_endpoint = keys.optional("revocation_endpoint", https_url);
    let hint = "the name that the server knows it by";
    let client_id = keys.required("client_id", hint, |id| client_id(id, documents));
    let hint = format!("add `[{}.auth.METHOD]`, {METHODS}", keys.name);
    let auth = keys.required("auth", &hint, |auth| client_auth(auth, documents));
    let refresh_auth = keys.optional("refresh_auth", |auth| client_auth(auth, documents));
    let Transport {
        tls,
        proxy,
        connect_timeout,
        timeout,
    } = transport(&mut keys);
    let body = keys.optional("body", |body| one_of(body, &BODIES));
    let limits = keys.optional("limits", limits);
    let rotation_grace = keys.optional("rotation_grace", duration);
    for (key, auth) in [("auth", &auth), ("refresh_auth", &refresh_auth)] {
        validate::tls_client_auth(&keys, key, auth.as_ref(), &tls);
    }
    keys.finish();
    Some(ClientConfig {
        name: field.key.to_owned(),
        endpoint: endpoint?,
        login_endpoints: LoginEndpoints {
            authorization,
            device_authorization,
        },
        revocation_endpoint,
        client_id: client_id?,
        auth: auth?,
        refresh_auth,
        tls,
        proxy,
        connect_timeout,
        timeout,
        body: body.unwrap_or(BodyFormat::Form),
        limits: limits.unwrap_or(DEFAULT_LIMITS),
        rotation_grace: rotation_grace.unwrap_or_default(),
    })
}

/// Reads the keys that say how requests get to a server.
pub(super) fn transport(keys: &mut Keys<'_>) -> Transport {
    let tls = keys.optional("tls", tls).unwrap_or_default();
    let proxy = keys.optional("proxy", proxy_url);
    let connect_timeout = keys.optional("connect_timeout", timeout);
    let timeout = keys.optional("timeout", timeout);
    Transport {
        tls,
        proxy,
        connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(10)),
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    }
}

fn tls(field: Field<'_>) -> Option<TlsConfig> {
    let mut keys = field.keys()?;
    let ca = keys.optional("ca", file_path);
    let certificate = keys.optional("certificate", file_path);
    let key = keys.optional("key", secret);
    let identity = validate::tls_identity(&keys, certificate, key);
    keys.finish();
    Some(TlsConfig { ca, identity })
}

fn limits(field: Field<'_>) -> Option<Limits> {
    let mut keys: Keys<'_> = field.keys()?;
    let max_in_flight = keys.optional("max_in_flight", count);
    let requests_per_minute = keys.optional("requests_per_minute", count);
    keys.finish();
    Some(Limits {
        max_in_flight: max_in_flight.unwrap_or(DEFAULT_LIMITS.max_in_flight),
        requests_per_minute,
    })
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

const BODIES: [(&str, BodyFormat); 2] = [("form", BodyFormat::Form), ("json", BodyFormat::Json)];

pub(super) const DEFAULT_LIMITS: Limits = Limits {
    max_in_flight: 32,
    requests_per_minute: None,
};

const METHODS: &str = "METHOD being client_secret_post, client_secret_basic, \
     client_secret_basic_raw, client_secret_jwt, private_key_jwt, client_assertion, tls_client_auth, or none for a public client";

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(vars: &[(&str, &str)], root: bool) -> (String, String) {
        let environment: Environment = vars.iter().copied().collect();
        let daemon = daemon_defaults(&environment, root);
        let text = |path: PathBuf| path.display().to_string();
        (text(daemon.state_dir), text(daemon.runtime_dir))
    }

    #[test]
    fn directories() {
        let system = ("/var/lib/bearerd".to_owned(), "/run/bearerd".to_owned());
        let user = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(dirs(&[], true), system);
        assert_eq!(dirs(&[], false), system);
        assert_eq!(dirs(&user, true), system);
        assert_eq!(
            dirs(&user, false),
            (
                "/home/u/.local/state/bearerd".into(),
                "/run/user/7/bearerd".into()
            )
        );
        let state_home = [("HOME", "/home/u"), ("XDG_STATE_HOME", "/s")];
        assert_eq!(dirs(&state_home, false).0, "/s/bearerd");
        let unit = [
            ("HOME", "/home/u"),
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("RUNTIME_DIRECTORY", "/run/a"),
        ];
        assert_eq!(dirs(&unit, false), ("/var/lib/a".into(), "/run/a".into()));
    }
}
