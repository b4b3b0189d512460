//! Tokens of one server.

use super::*;

#[test]
fn one_server_answers_for_all_its_tokens() {
    let mut scheduler = Scheduler::new(1);
    let policies = (0..40).map(|i| (name(&format!("t{i}")), policy(Grant::ClientCredentials)));
    scheduler.configure(at(0), policies.collect());
    let mut requests = 0;
    while let Some(now) = scheduler.poll_timeout().filter(|now| *now < at(600)) {
        scheduler.handle_timeout(now);
        while let Some(command) = scheduler.poll_command() {
            if let Command::Obtain { name, attempt, .. } = command {
                requests += 1;
                let delivery = Delivery::NotSent;
                let kind = FailureKind::Unavailable;
                let failure = Failure {
                    kind,
                    delivery,
                    retry_after: None,
                    echo: false,
                };
                scheduler.handle_event(
                    now,
                    Event::Failed {
                        name,
                        attempt,
                        failure,
                    },
                );
            }
        }
    }
    assert!(
        (20..60).contains(&requests),
        "{requests} requests in ten minutes of outage"
    );
}

#[test]
fn what_a_server_asked_for_outlasts_its_tokens() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    let (attempt, _) = bench.request(0);
    let pause = Duration::from_secs(60);
    let paused_until = bench.now + pause;
    bench.put_off(attempt, FailureKind::RateLimited, pause);
    bench.scheduler.configure(bench.now, BTreeMap::new());
    assert_eq!(bench.scheduler.poll_timeout(), None);
    bench.configure(policy(Grant::ClientCredentials));
    bench.request(60);
    assert_eq!(bench.now, paused_until);
}

#[test]
fn the_smallest_limits_of_a_server_count() {
    let limits = |max_in_flight, requests_per_minute| Limits {
        max_in_flight,
        requests_per_minute,
    };
    let mut scheduler = Scheduler::new(1);
    let policies = [limits(8, Some(300)), limits(2, None), limits(3, Some(20))];
    let policies = policies.into_iter().enumerate().map(|(i, limits)| {
        let policy = Policy {
            limits,
            ..policy(Grant::ClientCredentials)
        };
        (name(&format!("t{i}")), policy)
    });
    scheduler.configure(at(0), policies.collect());
    scheduler.handle_timeout(at(0));
    let commands = std::iter::from_fn(|| scheduler.poll_command()).count();
    assert_eq!(commands, 2);
    // The third waits for a place, not for an instant.
    assert_eq!(scheduler.status(&name("t2")).unwrap().next_attempt_at, None);
}

/// A token becomes due at the very instant at which its server may be asked again.
#[test]
fn a_server_chooses_among_all_that_are_due() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    let one_at_a_time = Policy {
        limits: Limits {
            max_in_flight: 1,
            requests_per_minute: None,
        },
        refresh_at: RefreshAt::BeforeExpiry(Duration::from_secs(50)),
        ..policy(Grant::ClientCredentials)
    };
    let both = BTreeMap::from([
        (name("a"), one_at_a_time.clone()),
        (name("b"), one_at_a_time),
    ]);
    bench.scheduler.configure(bench.now, both);
    let (attempt, _) = bench.request(0);
    bench.obtained(attempt, bench.now, 100);
    let (attempt, _) = bench.request(0);
    let failure = Failure {
        kind: FailureKind::RateLimited,
        delivery: Delivery::Answered,
        retry_after: Some(Duration::from_secs(60)),
        echo: false,
    };
    bench.event(Event::Failed {
        name: name("b"),
        attempt,
        failure,
    });
    bench.until(at(1059));
    assert!(bench.status().queued);
    let sent = bench.until(at(1060));
    let whose: Vec<_> = sent
        .iter()
        .filter_map(|command| match command {
            Command::Obtain { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(whose, ["b"], "it has nothing, and a has forty seconds left");
}
