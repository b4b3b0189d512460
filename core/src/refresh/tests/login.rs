//! Tokens that begin with a person.

use super::*;

const HOUR: u64 = 3600;

/// When people are asked, in seconds after the bench began, and until when what is held works.
fn asked(bench: &mut Bench, until: u64) -> Vec<(u64, Option<u64>)> {
    let begun_at = at(1000);
    let mut asked = Vec::new();
    let end = begun_at + Duration::from_secs(until);
    loop {
        while let Some(command) = bench.scheduler.poll_command() {
            if let Command::AskForLogin { until, .. } = command {
                let seconds = |instant: Instant| (instant - begun_at).as_secs();
                asked.push((seconds(bench.now), until.map(seconds)));
            }
        }
        match bench.scheduler.poll_timeout().filter(|next| *next <= end) {
            Some(next) => {
                bench.now = bench.now.max(next);
                bench.scheduler.handle_timeout(bench.now);
            }
            None => {
                bench.now = end;
                return asked;
            }
        }
    }
}

fn login(bench: &mut Bench, lifetime: u64, refresh: Option<Option<u64>>) -> AttemptId {
    let attempt = bench.scheduler.begin_attempt();
    let now = bench.now;
    let after = |seconds| now + Duration::from_secs(seconds);
    let validity = Validity {
        obtained_at: now,
        expires_at: after(lifetime),
        refresh: refresh.map(|expires_in| RefreshValidity {
            expires_at: expires_in.map(after),
        }),
        id_token_expires_at: None,
    };
    let name = name("a");
    bench.event(Event::LoggedIn {
        name,
        attempt,
        validity,
    });
    attempt
}

#[test]
fn nobody_has_logged_in() {
    let mut bench = Bench::new(Grant::Login);
    let pauses = [0, 15, 45, 105, 225, 465, 945, 1905, 3345];
    let expected: Vec<_> = pauses.iter().map(|at| (at * 60, None)).collect();
    assert_eq!(asked(&mut bench, 60 * HOUR), expected);
    let health = Health::Failing {
        state: ErrorState::NeedsLogin,
        reason: Reason::LoginRequired,
    };
    assert_eq!(bench.status().health, health);
    // Asking for the token changes nothing.
    bench.event(Event::RefreshRequested { name: name("a") });
    bench.event(Event::InputsChanged { name: name("a") });
    assert_eq!(bench.until(at(600_000)), []);
}

#[test]
fn a_login_is_taken_and_then_refreshed() {
    let mut bench = Bench::new(Grant::Login);
    assert_eq!(bench.until(at(1001)), []);
    let attempt = login(&mut bench, 100, Some(None));
    assert_eq!(bench.status().health, Health::Fresh);
    assert!(!bench.status().in_flight);
    let (refresh, by) = bench.request(75);
    assert_eq!(by, Use::RefreshToken);
    assert!(attempt < refresh);
    // It takes the place of what is under way.
    let second = bench.scheduler.begin_attempt();
    let validity = bench.status().validity.unwrap();
    let validity = Validity {
        obtained_at: bench.now,
        ..validity
    };
    let (of_a, in_its_place) = (
        name("a"),
        bench.event(Event::LoggedIn {
            name: name("a"),
            attempt: second,
            validity,
        }),
    );
    let cancel = Command::Cancel {
        name: of_a,
        attempt: refresh,
    };
    assert_eq!(in_its_place, [cancel, commit(second)]);
}

#[test]
fn a_login_to_what_is_gone_is_discarded() {
    let mut bench = Bench::new(Grant::Login);
    let attempt = bench.scheduler.begin_attempt();
    bench.configure(Policy {
        identity: [1; 16],
        ..policy(Grant::Login)
    });
    let validity = Validity {
        obtained_at: bench.now,
        expires_at: at(9000),
        refresh: None,
        id_token_expires_at: None,
    };
    let discarded = bench.event(Event::LoggedIn {
        name: name("a"),
        attempt,
        validity,
    });
    let discard = Command::Discard {
        name: name("a"),
        attempt,
    };
    assert_eq!(discarded, [discard]);
}

#[test]
fn without_a_refresh_token_the_end_is_announced() {
    let mut bench = Bench::new(Grant::Login);
    assert_eq!(asked(&mut bench, 10), [(0, None)]);
    login(&mut bench, HOUR, None);
    let end = HOUR + 10;
    assert_eq!(bench.status().login_due_at, Some(at(1000 + end)));
    // A quarter of an hour before, and when it has come.
    let expected = [(end - 900, Some(end)), (end, None)];
    assert_eq!(asked(&mut bench, end + 60), expected);
}

#[test]
fn a_window_that_nothing_moves_is_announced() {
    let mut bench = Bench::new(Grant::Login);
    bench.until(at(1000));
    login(&mut bench, 600, Some(Some(HOUR)));
    let end = at(1000 + HOUR);
    let mut told = Vec::new();
    while told.len() < 2 {
        let next = bench.scheduler.poll_timeout().unwrap();
        bench.now = bench.now.max(next);
        bench.scheduler.handle_timeout(bench.now);
        while let Some(command) = bench.scheduler.poll_command() {
            match command {
                Command::AskForLogin { until, .. } => told.push((bench.now, until)),
                Command::Obtain { attempt, .. } => {
                    let now = bench.now;
                    let lifetime = Duration::from_secs(600).min(end - now);
                    let validity = Validity {
                        obtained_at: now,
                        expires_at: now + lifetime,
                        refresh: Some(RefreshValidity {
                            expires_at: Some(end),
                        }),
                        id_token_expires_at: None,
                    };
                    let name = name("a");
                    bench.scheduler.handle_event(
                        now,
                        Event::Obtained {
                            name,
                            attempt,
                            validity,
                        },
                    );
                }
                _ => {}
            }
        }
    }
    assert_eq!(
        told.first(),
        Some(&(end.saturating_sub(Duration::from_secs(900)), Some(end)))
    );
    assert_eq!(told[1], (end, None));
}

#[test]
fn a_window_that_moves_on_is_not() {
    let mut bench = Bench::new(Grant::Login);
    bench.until(at(1000));
    login(&mut bench, 100, Some(Some(200)));
    for _ in 0..20 {
        let (attempt, by) = bench.request(100);
        assert_eq!(by, Use::RefreshToken);
        let validity = Validity {
            obtained_at: bench.now,
            expires_at: bench.now + Duration::from_secs(100),
            refresh: Some(RefreshValidity {
                expires_at: Some(bench.now + Duration::from_secs(200)),
            }),
            id_token_expires_at: None,
        };
        bench.event(Event::Obtained {
            name: name("a"),
            attempt,
            validity,
        });
        assert_eq!(bench.status().login_due_at, None);
    }
}

#[test]
fn a_window_known_as_fixed_stays_so_after_a_restart() {
    for window_fixed in [true, false] {
        let mut bench = Bench::new(Grant::Login);
        let end = at(1000 + HOUR);
        let validity = Validity {
            obtained_at: at(900),
            expires_at: at(1100),
            refresh: Some(RefreshValidity {
                expires_at: Some(end),
            }),
            id_token_expires_at: None,
        };
        bench.event(restored(Restored {
            validity,
            current: true,
            open_intent: false,
            window_fixed,
        }));
        let known = bench.status().login_due_at;
        assert_eq!(known, Some(end).filter(|_| window_fixed));
    }
}

#[test]
fn logged_out_nothing_is_held() {
    let mut bench = Bench::new(Grant::Login);
    bench.until(at(1000));
    login(&mut bench, 100, Some(None));
    let out = bench.event(Event::LoggedOut { name: name("a") });
    assert_eq!(out, [withdraw()]);
    assert_eq!(bench.until(at(5000)), []);
    let health = Health::Failing {
        state: ErrorState::NeedsLogin,
        reason: Reason::LoginRequired,
    };
    assert_eq!(bench.status().health, health);
}

#[test]
fn within_its_grace_a_rotated_refresh_token_is_used_again() {
    let grace = |seconds| Policy {
        rotation_grace: Duration::from_secs(seconds),
        ..policy(Grant::Password)
    };
    let mut bench = Bench::holding(Grant::Password);
    bench.configure(grace(30));
    let (attempt, by) = bench.request(75);
    assert_eq!(by, Use::RefreshToken);
    let unanswered = bench.failed(attempt, FailureKind::Unavailable, Delivery::Unknown);
    assert_eq!(unanswered, []);
    let (attempt, by) = bench.request(5);
    assert_eq!(by, Use::RefreshToken);
    // Counted from its first use.
    bench.now = bench.now + Duration::from_secs(40);
    let unanswered = bench.failed(attempt, FailureKind::Unavailable, Delivery::Unknown);
    assert_eq!(unanswered, [quarantine()]);
}

/// Of ninety days' access tokens, whose refresh token nobody would use within the thirty that its
/// server keeps it unused.
#[test]
fn an_idle_refresh_token_is_used_in_time() {
    const DAY: u64 = 24 * HOUR;
    let idle = |inactivity| {
        let mut bench = Bench::new(Grant::Login);
        bench.configure(Policy {
            inactivity,
            ..policy(Grant::Login)
        });
        login(&mut bench, 90 * DAY, Some(None));
        let due = bench.status().next_attempt_at.unwrap();
        (due - bench.now).as_secs()
    };
    assert!(idle(None) > 60 * DAY);
    let limit = Duration::from_secs(30 * DAY);
    assert_eq!(idle(Some(limit)), 30 * DAY / 4 * 3);
}

#[test]
fn who_has_logged_out_is_not_told_to_log_in() {
    let mut bench = Bench::new(Grant::Login);
    asked(&mut bench, 1);
    login(&mut bench, 100, Some(None));
    let (attempt, _) = bench.request(75);
    bench.event(Event::LoggedOut { name: name("a") });
    let late = bench.obtained(attempt, bench.now, 100);
    let discard = Command::Discard {
        name: name("a"),
        attempt,
    };
    assert_eq!(late, [discard]);
    assert_eq!(asked(&mut bench, 60 * HOUR), []);
    login(&mut bench, 100, None);
    assert!(
        !asked(&mut bench, 61 * HOUR).is_empty(),
        "until the next login"
    );
}

#[test]
fn a_wish_that_only_a_person_can_fulfil_is_answered_at_once() {
    let mut bench = Bench::new(Grant::Login);
    login(&mut bench, 100, Some(None));
    let (attempt, _) = bench.request(75);
    bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
    bench.event(Event::RefreshRequested { name: name("a") });
    assert!(bench.status().next_attempt_at <= Some(bench.now + Duration::from_secs(1)));
    assert_eq!(bench.status().validity.map(|held| held.refresh), Some(None));
    // Without any refresh token, the token lives until its end.
    let mut bench = Bench::new(Grant::Login);
    login(&mut bench, 100, None);
    bench.event(Event::RefreshRequested { name: name("a") });
    assert_eq!(bench.until(bench.now + Duration::from_secs(20)), []);
    assert_eq!(bench.status().health, Health::Fresh);
}

#[test]
fn a_refresh_token_that_ends_while_it_waits_is_told_of_at_once() {
    // For its own pause.
    let mut bench = Bench::new(Grant::Login);
    login(&mut bench, 4000, Some(Some(3000)));
    let (attempt, _) = bench.request(2250);
    bench.put_off(attempt, FailureKind::RateLimited, Duration::from_secs(600));
    let (attempt, _) = bench.request(600);
    bench.failed(attempt, FailureKind::Denied, Delivery::Answered);
    for _ in 0..3 {
        if bench.status().next_attempt_at < Some(at(4000)) {
            let (attempt, _) = bench.request(150);
            bench.failed(attempt, FailureKind::Denied, Delivery::Answered);
        }
    }
    assert!(bench.status().next_attempt_at > Some(at(4000)));
    let health = Health::Failing {
        state: ErrorState::NeedsLogin,
        reason: Reason::RefreshTokenExpired,
    };
    bench.until(at(3999));
    assert_ne!(bench.status().health, health);
    bench.until(at(4000));
    assert_eq!(bench.status().health, health);

    // For its server.
    let mut bench = Bench::new(Grant::Login);
    login(&mut bench, 4000, Some(Some(3000)));
    let limits = Limits {
        max_in_flight: 1,
        requests_per_minute: None,
    };
    let patient = Policy {
        limits,
        deadline: Duration::from_secs(9000),
        ..policy(Grant::ClientCredentials)
    };
    let both = BTreeMap::from([(name("a"), policy(Grant::Login)), (name("b"), patient)]);
    bench.scheduler.configure(bench.now, both);
    bench.until(at(3999));
    assert!(bench.status().queued);
    bench.until(at(4000));
    assert_eq!(bench.status().health, health);
}
