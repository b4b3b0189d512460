//! `/metrics` as a strict reader of OpenMetrics 1.0 sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bearerd::clock;
use bearerd::config::{Allow, Who};
use bearerd::store::DaemonView;
use bearerd_core::credential::RefreshValidity;
use bearerd_core::refresh::{ErrorState, Reason};

use crate::socket::{World, fresh, pending};

/// Samples by name and labels, as written; and types by family.
struct Metrics {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Metrics {
    /// Every line is metadata or a sample of the family above it; families stand together, and each has its
    /// help, type and the unit that its name ends with; samples have the suffix of their type.
    fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap();
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        let (mut family, mut seen) = (String::new(), BTreeSet::new());
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && seen.insert(name.to_owned()), "{line}");
                family = name.to_owned();
                let kind = lines.next().unwrap();
                let kind = kind.strip_prefix(&format!("# TYPE {name} ")).unwrap();
                assert!(["gauge", "counter", "info"].contains(&kind), "{kind}");
                types.insert(family.clone(), kind.to_owned());
                if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
                    let unit = unit.strip_prefix(&format!("# UNIT {name} ")).unwrap();
                    assert!(name.ends_with(&format!("_{unit}")), "{name} {unit}");
                } else {
                    assert!(!name.ends_with("_seconds"), "{name} has no unit");
                }
                continue;
            }
            assert!(!line.starts_with('#'), "{line}");
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            let suffix = match &*types[&family] {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once('=').unwrap();
                assert!(key.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                assert!(!value.unwrap().contains(['"', '\\', '\n']), "{line}");
            }
            let value = value.parse().unwrap();
            assert!(samples.insert(series.to_owned(), value).is_none(), "{line}");
        }
        Self { samples, types }
    }

    fn of(&self, series: &str) -> f64 {
        let value = self.samples.get(series).copied();
        value.unwrap_or_else(|| panic!("no {series} in {:?}", self.samples.keys()))
    }
}

/// Head and text.
fn scrape(world: &World) -> (String, String) {
    let mut stream = UnixStream::connect(&world.socket).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// A token that is well and one that is not.
fn world() -> World {
    let mut good = fresh("lev", "canary-1").0;
    let refresh = RefreshValidity {
        expires_at: Some(clock::now() + Duration::from_secs(7200)),
    };
    good.standing.status.validity.as_mut().unwrap().refresh = Some(refresh);
    let bad = pending("nhs").obtained(7, "canary-2", 60, 100);
    let mut bad = bad
        .failed(ErrorState::NeedsLogin, Reason::RotationLost, "canary-error")
        .0;
    bad.current = None;
    bad.standing.output_errors = vec!["/run/x: no space".into()];
    World::new([good, bad, pending("new").0])
}

#[test]
fn every_number_is_there_and_right() {
    let world = world();
    world.daemon.send_replace(DaemonView {
        configuration_error: Some("canary-configuration".into()),
        ..DaemonView::default()
    });
    let unix = clock::unix_now().as_secs_f64();
    let (head, text) = scrape(&world);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(content_type), "{head}");
    assert!(!text.contains("canary"), "{text}");

    let metrics = Metrics::parse(&text);
    let near = |series: &str, seconds: f64| {
        let difference = metrics.of(series) - unix - seconds;
        assert!(difference.abs() < 10.0, "{series}: {difference}");
    };
    near(
        "bearerd_token_expires_timestamp_seconds{token=\"lev\"}",
        3600.0,
    );
    near(
        "bearerd_token_obtained_timestamp_seconds{token=\"lev\"}",
        0.0,
    );
    near(
        "bearerd_token_next_refresh_timestamp_seconds{token=\"lev\"}",
        2700.0,
    );
    let refresh = "bearerd_token_refresh_token_expires_timestamp_seconds";
    near(&format!("{refresh}{{token=\"lev\"}}"), 7200.0);
    // What has expired is still to be alarmed about.
    near(
        "bearerd_token_expires_timestamp_seconds{token=\"nhs\"}",
        -40.0,
    );
}

#[test]
fn counts_and_states() {
    let world = world();
    world.daemon.send_replace(DaemonView {
        configuration_error: Some("canary-configuration".into()),
        ..DaemonView::default()
    });
    let metrics = Metrics::parse(&scrape(&world).1);
    let none = "bearerd_token_expires_timestamp_seconds{token=\"new\"}";
    assert!(!metrics.samples.contains_key(none));
    assert_eq!(metrics.of("bearerd_token_generation{token=\"lev\"}"), 1.0);
    assert_eq!(
        metrics.of("bearerd_token_attempts_total{token=\"nhs\"}"),
        2.0
    );
    assert_eq!(
        metrics.of("bearerd_token_consecutive_failures{token=\"nhs\"}"),
        1.0
    );
    assert_eq!(
        metrics.of("bearerd_token_consecutive_failures{token=\"lev\"}"),
        0.0
    );
    assert_eq!(
        metrics.of("bearerd_token_output_errors{token=\"nhs\"}"),
        1.0
    );
    for (token, own) in [("lev", "fresh"), ("nhs", "needs_login"), ("new", "pending")] {
        for state in [
            "denied",
            "fix_config",
            "fresh",
            "needs_login",
            "pending",
            "transient",
        ] {
            let series = format!("bearerd_token_state{{token=\"{token}\",state=\"{state}\"}}");
            assert_eq!(
                metrics.of(&series),
                f64::from(u8::from(state == own)),
                "{series}"
            );
        }
    }
    assert_eq!(metrics.of("bearerd_ready"), 0.0);
    assert_eq!(metrics.of("bearerd_configuration_error"), 1.0);
    assert_eq!(metrics.of("bearerd_denials_total"), 0.0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        metrics.of(&format!("bearerd_build_info{{version=\"{version}\"}}")),
        1.0
    );
    assert_eq!(metrics.types["bearerd_token_attempts"], "counter");

    let _idle = UnixStream::connect(&world.socket).unwrap();
    // Those of before count until the acceptor hears that they have ended.
    let open = || Metrics::parse(&scrape(&world).1).of("bearerd_open_connections");
    assert!((0..1000).any(|_| open() == 2.0), "{}", open());
}

#[test]
fn others_see_their_tokens_and_denials_are_counted() {
    if !rustix::process::geteuid().is_root() {
        println!("NOT TESTED: only root can ask as others");
        return;
    }
    let mut world = world();
    let mut own = fresh("own", "canary-3").0;
    Arc::make_mut(&mut own.config).allow = vec![Allow {
        written: "user:1234".into(),
        who: Who::User(1234),
    }];
    world.configure(own);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.directory.path(), open).unwrap();
    scrape(&world);
    let ask = |uid: &str, path: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid", uid, "--regid", uid, "--clear-groups"])
            .args(["curl", "-sS", "--unix-socket"])
            .arg(&world.socket)
            .arg(format!("http://x{path}"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = ask("1234", "/metrics");
    let metrics = Metrics::parse(&text);
    assert_eq!(metrics.of("bearerd_token_generation{token=\"own\"}"), 1.0);
    for hidden in ["lev", "nhs", "denials", "configuration", "connections"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert!(ask("1234", "/v1/tokens/lev").contains("denied"));
    assert!(ask("1235", "/metrics").contains("denied"));
    let all = Metrics::parse(&scrape(&world).1);
    assert_eq!(all.of("bearerd_denials_total"), 2.0);
}

/// promtool reads the older format of Prometheus, where a counter's family is named as its sample.
#[test]
fn promtool_finds_no_fault() {
    if Command::new("promtool").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "promtool is missing");
        println!("NOT TESTED: there is no promtool");
        return;
    }
    let text = scrape(&world()).1;
    let mut older = String::new();
    for line in text.lines() {
        let mut words: Vec<&str> = line.split(' ').collect();
        let counter =
            ["bearerd_denials", "bearerd_token_attempts"].contains(&words[2.min(words.len() - 1)]);
        let named = format!("{}_total", words[2.min(words.len() - 1)]);
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if line.starts_with('#') && counter {
            words[2] = &named;
        }
        let line = words.join(" ");
        let line = line.replace("bearerd_build ", "bearerd_build_info ");
        older += &line.replace("bearerd_build_info info", "bearerd_build_info gauge");
        older.push('\n');
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(older.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}{older}");
}
