//! What is refused, and what may have been spent.

use super::*;

#[test]
fn a_refused_password_is_not_repeated() {
    let mut bench = Bench::new(Grant::Password);
    let refuse = |bench: &mut Bench| {
        let (attempt, by) = bench.request(10);
        assert_eq!(by, Use::Primary);
        bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
        let state = ErrorState::FixConfig;
        let failing = Health::Failing {
            state,
            reason: Reason::PasswordRefused,
        };
        assert_eq!(bench.status().health, failing);
        assert_eq!(bench.status().next_attempt_at, None);
    };
    refuse(&mut bench);
    assert_eq!(bench.until(at(100_000)), []);
    bench.event(Event::RefreshRequested { name: name("a") });
    refuse(&mut bench);
    for _ in 0..100 {
        bench.event(Event::RefreshRequested { name: name("a") });
        assert_eq!(bench.until(bench.now + Duration::from_secs(10)), []);
    }
    bench.event(Event::InputsChanged { name: name("a") });
    refuse(&mut bench);
    // The password changed while the old one was being refused.
    bench.event(Event::InputsChanged { name: name("a") });
    let (attempt, _) = bench.request(10);
    bench.event(Event::InputsChanged { name: name("a") });
    bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
    bench.request(1);
}

#[test]
fn a_refused_refresh_token_falls_back_to_the_password() {
    let mut bench = Bench::holding(Grant::Password);
    let (attempt, by) = bench.request(75);
    assert_eq!(by, Use::RefreshToken);
    let refused = bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
    assert_eq!(refused, [quarantine()]);
    assert_eq!(bench.request(1).1, Use::Primary);
}

#[test]
fn an_unanswered_refresh_is_repeated_only_without_another_way() {
    let mut bench = Bench::holding(Grant::Password);
    let (attempt, _) = bench.request(75);
    let unanswered = bench.failed(attempt, FailureKind::Unavailable, Delivery::Unknown);
    assert_eq!(unanswered, [quarantine()]);
    assert_eq!(bench.request(1).1, Use::Primary);

    let mut bench = Bench::holding(Grant::RefreshToken);
    for _ in 0..3 {
        let (attempt, by) = bench.request(75);
        assert_eq!(by, Use::RefreshToken);
        assert_eq!(
            bench.failed(attempt, FailureKind::Unavailable, Delivery::Unknown),
            []
        );
    }
    let (attempt, _) = bench.request(75);
    let refused = bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
    assert_eq!(refused, [quarantine()]);
    let state = ErrorState::NeedsLogin;
    let lost = Health::Failing {
        state,
        reason: Reason::RotationLost,
    };
    assert_eq!(bench.status().health, lost);
    assert_eq!(bench.until(at(100_000)), [withdraw()]);
    // A new seed.
    bench.event(Event::InputsChanged { name: name("a") });
    assert_eq!(bench.request(0).1, Use::Primary);
}

#[test]
fn a_refresh_token_that_may_be_spent_is_for_when_the_password_is_no_way() {
    let mut bench = Bench::holding(Grant::Password);
    let sent_at = bench.now + Duration::from_secs(70);
    let (late, _) = bench.request(75);
    bench.failed(late, FailureKind::Unavailable, Delivery::Unknown);
    let (attempt, by) = bench.request(1);
    assert_eq!(by, Use::Primary);
    bench.failed(attempt, FailureKind::GrantRefused, Delivery::Answered);
    assert_eq!(bench.obtained(late, sent_at, 100), [commit(late)]);
    for _ in 0..2 {
        let (attempt, by) = bench.request(80);
        assert_eq!(by, Use::RefreshToken, "the password was refused");
        bench.failed(attempt, FailureKind::Unavailable, Delivery::Unknown);
    }
    bench.event(Event::InputsChanged { name: name("a") });
    assert_eq!(
        bench.request(1).1,
        Use::Primary,
        "there is another password"
    );
}

#[test]
fn a_late_success_outranks_the_refusal_of_the_token_it_replaced() {
    let mut bench = Bench::holding(Grant::RefreshToken);
    let (first, _) = bench.request(75);
    let sent_at = bench.now;
    bench.failed(first, FailureKind::Unavailable, Delivery::Unknown);
    let (second, _) = bench.request(10);
    assert_eq!(bench.obtained(first, sent_at, 100), [commit(first)]);
    assert_eq!(
        bench.failed(second, FailureKind::GrantRefused, Delivery::Answered),
        []
    );
    assert_eq!(bench.status().health, Health::Fresh);
    assert_eq!(bench.request(100).1, Use::RefreshToken);
}

#[test]
fn an_expired_only_refresh_token_needs_a_login() {
    let mut bench = Bench::new(Grant::RefreshToken);
    let (attempt, _) = bench.request(0);
    let refresh = Some(RefreshValidity {
        expires_at: Some(bench.now + Duration::from_secs(40)),
    });
    let (obtained_at, expires_at) = (bench.now, bench.now + Duration::from_secs(100));
    let validity = Validity {
        obtained_at,
        expires_at,
        refresh,
        id_token_expires_at: None,
    };
    bench.event(Event::Obtained {
        name: name("a"),
        attempt,
        validity,
    });
    // Before it ends, not when the access token is due.
    let (attempt, by) = bench.request(30);
    assert_eq!(by, Use::RefreshToken);
    bench.put_off(attempt, FailureKind::Unavailable, Duration::from_secs(60));
    assert_eq!(bench.until(at(5000)), [withdraw()]);
    let state = ErrorState::NeedsLogin;
    let expired = Health::Failing {
        state,
        reason: Reason::RefreshTokenExpired,
    };
    assert_eq!(bench.status().health, expired);
}
