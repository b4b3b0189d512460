//! NHS England's side of the CIS2 chain on loopback, for `tests/keycloak/chain`: it takes the ID tokens of a
//! real identity provider. The first line of standard input says which; then `outage`, `serve` and `report`, each
//! answered by a line of JSON. It ends with its input.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde_json::{Value, json};
use support::mock_jwks::IdentityProvider;
use support::{Log, Server, Settings, SigningKey, System};

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = io::stdin().lock().lines();
    let first = lines.next().ok_or("no settings")??;
    let wanted: Value = serde_json::from_str(&first)?;
    let text = |name: &str| wanted[name].as_str().unwrap_or_default().to_owned();
    let seconds = |name: &str| Duration::from_secs(wanted[name].as_u64().unwrap_or_default());
    let key = SigningKey::rsa();
    let mut settings = Settings::with_key(&key);
    settings.nhs.lifetime = seconds("lifetime");
    settings.nhs.refresh_window = seconds("refresh_window");
    settings.nhs.identity_provider = Some(IdentityProvider {
        issuer: text("issuer"),
        keys: serde_json::from_value(wanted["keys"].clone())?,
        client_id: text("client_id"),
        client_secret: text("client_secret"),
    });
    let (api_key, api_secret) = (
        settings.nhs.api_key.clone(),
        settings.nhs.api_secret.clone(),
    );
    let server = Server::start_tls(settings);
    say(&json!({
        "origin": server.origin(), "ca": server.ca_pem, "key": key.private_pem,
        "api_key": api_key, "api_secret": api_secret,
    }))?;
    for line in lines {
        match line?.as_str() {
            "outage" => server.outage(true),
            "serve" => server.outage(false),
            _ => {}
        }
        say(&server.log(report))?;
    }
    Ok(())
}

/// How often each request was answered with each status, and what became of the tokens.
fn report(log: &Log) -> Value {
    let mut answers = BTreeMap::new();
    for request in &log.requests {
        let kind = match request.asks_for_token() {
            true => request.param("grant_type"),
            false => &request.path,
        };
        let status = request.status.map_or("cut".to_owned(), |s| s.to_string());
        *answers.entry(format!("{kind} {status}")).or_insert(0) += 1;
    }
    json!({"answers": answers, "issued": log.issued_by(System::Nhs), "checks": log.checks, "rejected": log.rejected})
}

fn say(line: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
