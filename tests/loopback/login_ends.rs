//! Logins that end, and refresh tokens whose answer got lost: what is sent, what is kept, what is reported.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::lev::Reuse;
use support::{Daemon, Fault, Host, Log, Server, Settings, System, eventually};

const SOON: Duration = Duration::from_secs(20);

fn status(daemon: &Daemon) -> Value {
    daemon.status_json()["tokens"][0].clone()
}

/// NHS England's refresh tokens end at one time, whatever is done: that is announced, and then it is so.
#[test]
fn a_window_that_shrinks_is_announced_before_it_ends() {
    let mut settings = Settings::default();
    settings.nhs.lifetime = Duration::from_secs(2);
    settings.nhs.refresh_window = Duration::from_secs(9);
    let server = Server::start(settings);
    let host = Host::new();
    let notice = "[token.nhs_user.refresh]\nlogin_notice = \"5s\"\n";
    host.configure(&(host.nhs_user(&server) + notice));
    let daemon = host.start_ready();
    let fresh = eventually("the end in status", SOON, || {
        let status = status(&daemon);
        status["login_due_at"].is_u64().then_some(status)
    });
    assert_eq!(fresh["state"], "fresh");
    let due_at = fresh["login_due_at"].as_u64().expect("seconds");
    daemon.kill();
    server.queue_fault(System::Nhs, Fault::Status(503));
    let asked = server.requests(System::Nhs);
    let daemon = host.start();
    server.wait_requests(System::Nhs, asked + 1, SOON);
    let restarted = eventually("a failed refresh", SOON, || {
        let status = status(&daemon);
        (status["failures"] == 1).then_some(status)
    });
    assert_eq!(restarted["login_due_at"], due_at, "known from before");
    eventually("a refresh", SOON, || {
        (status(&daemon)["state"] == "fresh").then_some(())
    });
    eventually("the announcement", SOON, || {
        let logged = daemon.logged();
        logged.contains("somebody has to log in soon").then_some(())
    });
    let announced = bearerd::clock::unix_now().as_secs();
    assert!(
        announced < due_at && due_at <= announced + 6,
        "{announced} {due_at}"
    );
    assert_eq!(status(&daemon)["state"], "fresh");
    let ended = eventually("the end", SOON, || {
        let status = status(&daemon);
        (status["state"] == "needs_login").then_some(status)
    });
    assert!(bearerd::clock::unix_now().as_secs() + 1 >= due_at);
    // Whoever notices first: bearerd by the clock, or the server by its own.
    let reason = ended["reason"].as_str();
    let ends = ["refresh_token_expired", "refresh_token_refused"].map(Some);
    assert!(ends.contains(&reason), "{ended}");
    eventually("the demand", SOON, || {
        let told = daemon.logged().matches("somebody has to log in").count();
        (told == 2).then_some(())
    });
}

/// One way in which an answer gets lost.
struct Case {
    /// With a password, or with nothing but the refresh token.
    password: bool,
    reuse: Reuse,
    /// `rotation_grace` as configured.
    grace: bool,
    /// What is sent once the answer is lost: the same refresh token `again`, or the `password`.
    sent: &'static [&'static str],
    /// `state` and `reason` in the end.
    outcome: (&'static str, Option<&'static str>),
    /// Whether the server still takes the access token from before.
    spared: bool,
}

const CASES: [Case; 5] = [
    Case {
        password: false,
        reuse: Reuse::EndsSession,
        grace: false,
        sent: &["again"],
        outcome: ("needs_login", Some("rotation_lost")),
        spared: false,
    },
    Case {
        password: false,
        reuse: Reuse::Refused,
        grace: false,
        sent: &["again"],
        outcome: ("needs_login", Some("rotation_lost")),
        spared: true,
    },
    Case {
        password: false,
        reuse: Reuse::Grace(SOON),
        grace: true,
        sent: &["again"],
        outcome: ("fresh", None),
        spared: true,
    },
    Case {
        password: true,
        reuse: Reuse::EndsSession,
        grace: false,
        sent: &["password"],
        outcome: ("fresh", None),
        spared: true,
    },
    Case {
        password: true,
        reuse: Reuse::Grace(SOON),
        grace: true,
        sent: &["again"],
        outcome: ("fresh", None),
        spared: true,
    },
];

#[test]
fn a_lost_answer_costs_no_more_than_the_server_demands() {
    std::thread::scope(|scope| {
        for case in &CASES {
            scope.spawn(move || lose_an_answer(case));
        }
    });
}

fn lose_an_answer(case: &Case) {
    let mut settings = Settings::default();
    settings.lev.reuse = case.reuse;
    let server = Server::start(settings);
    let host = Host::new();
    let (tables, file) = match case.password {
        true => (host.lev(&server), "lev"),
        false => (host.lev_user(&server), "user"),
    };
    let grace = "[client.lev]\nrotation_grace = \"20s\"\n";
    host.configure(&match case.grace {
        true => tables.replace("[client.lev]\n", grace),
        false => tables,
    });
    let daemon = host.start_ready();
    let before = host.token(file).expect("a token");
    let held = server.log(|log| log.last_issued(System::Lev)?.refresh_token.clone());
    let held = held.expect("a refresh token");
    server.queue_fault(System::Lev, Fault::LostReply);
    let asked = server.requests(System::Lev);
    daemon.signal(Signal::USR1);
    server.wait_requests(System::Lev, asked + 1 + case.sent.len(), SOON);
    let ended = eventually("the end", SOON, || {
        let status = status(&daemon);
        (status["state"] == case.outcome.0
            && status["next_refresh_at"].is_null() != (case.outcome.0 == "fresh"))
            .then_some(status)
    });
    assert_eq!(ended["reason"].as_str(), case.outcome.1, "{ended}");
    let sent = |log: &Log| {
        let token_requests = log.requests.iter().filter(|r| r.asks_for_token());
        let after_the_loss = token_requests.skip(asked + 1);
        let kinds = after_the_loss.map(|request| match request.param("refresh_token") == held {
            true => "again".to_owned(),
            false => request.param("grant_type").to_owned(),
        });
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(server.log(sent), case.sent);
    assert_eq!(server.check(&before), case.spared);
    if case.outcome.0 == "needs_login" {
        assert_eq!(host.token(file), Some(before), "what is held is served");
        let state = std::fs::read_to_string(host.path("state/tokens/user.json"));
        assert!(
            state.expect("a state file").contains(&held),
            "kept for a rescue"
        );
    }
}

/// Consumers that meet a 401 are many, and come while the replacement is asked for, written and published.
#[test]
fn a_rejected_token_is_replaced_once_however_many_meet_the_401() {
    let server = Server::start(Settings::default());
    let host = Host::new();
    host.configure(&host.lev(&server));
    let daemon = host.start_ready();
    for _ in 0..5 {
        let rejected = host.token("lev").expect("a token");
        let hash = bearerd::api::tokens::RejectedHash::of(rejected.as_bytes()).to_hex();
        let hash = format!("--rejected={hash}");
        let asked = server.requests(System::Lev);
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    let got = daemon.client(&["refresh", "lev", &hash]);
                    assert!(got.status.success(), "{got:?}");
                });
            }
        });
        assert_eq!(server.requests(System::Lev), asked + 1);
        // Nor will it be soon.
        let status = status(&daemon);
        let next = status["next_refresh_at"].as_u64();
        let now = bearerd::clock::unix_now().as_secs();
        assert!(next.is_some_and(|at| at > now + 60), "{status}");
        eventually("the file", SOON, || {
            (host.token("lev")? != rejected).then_some(())
        });
    }
}
