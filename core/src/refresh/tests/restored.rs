//! What was held before a restart.

use super::*;

#[test]
fn a_restored_token_is_not_requested_before_its_time() {
    let mut bench = Bench::new(Grant::Password);
    let validity = Validity {
        obtained_at: at(990),
        expires_at: at(1090),
        refresh: None,
        id_token_expires_at: None,
    };
    let told = |current, open_intent| {
        restored(Restored {
            validity,
            current,
            open_intent,
            window_fixed: false,
        })
    };
    assert_eq!(bench.event(told(true, false)), []);
    assert_eq!(bench.until(at(1050)), []);
    assert_eq!(bench.status().health, Health::Fresh);
    assert_eq!(bench.request(20).1, Use::Primary);
    // Obtained under another configuration: served, and replaced at once.
    let mut bench = Bench::new(Grant::Password);
    assert_eq!(bench.event(told(false, false)), []);
    bench.request(0);
}

#[test]
fn a_persisted_refresh_token_of_doubtful_standing() {
    let told = |current, open_intent| {
        restored(Restored {
            validity: Validity {
                obtained_at: at(10),
                expires_at: at(20),
                refresh: Some(RefreshValidity { expires_at: None }),
                id_token_expires_at: None,
            },
            current,
            open_intent,
            window_fixed: false,
        })
    };
    for (grant, current, open_intent, commands, by) in [
        (Grant::Password, true, false, vec![], Use::RefreshToken),
        (
            Grant::Password,
            true,
            true,
            vec![quarantine()],
            Use::Primary,
        ),
        (
            Grant::Password,
            false,
            false,
            vec![quarantine()],
            Use::Primary,
        ),
        (Grant::RefreshToken, true, true, vec![], Use::RefreshToken),
        (
            Grant::RefreshToken,
            false,
            true,
            vec![quarantine()],
            Use::Primary,
        ),
    ] {
        let mut bench = Bench::new(grant);
        assert_eq!(bench.event(told(current, open_intent)), commands);
        assert_eq!(bench.request(0).1, by);
    }
}

#[test]
fn a_token_from_the_future_is_replaced_like_any_other() {
    let mut bench = Bench::new(Grant::ClientCredentials);
    let validity = Validity {
        obtained_at: at(50_000),
        expires_at: at(60_000),
        refresh: None,
        id_token_expires_at: None,
    };
    bench.event(restored(Restored {
        validity,
        current: true,
        open_intent: false,
        window_fixed: false,
    }));
    bench.event(Event::RefreshRequested { name: name("a") });
    let (attempt, _) = bench.request(1);
    let sent_at = bench.now;
    assert_eq!(bench.obtained(attempt, sent_at, 100), [commit(attempt)]);
    // And so is one whose answer comes after its deadline.
    let (late, _) = bench.request(100);
    let sent_at = bench.now;
    bench.until(sent_at + Duration::from_secs(10));
    assert_eq!(bench.obtained(late, sent_at, 100), [commit(late)]);
}
