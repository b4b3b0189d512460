//! Tokens that are made anew when their parent was replaced: [`Chain`] with `follow_source`.

use super::graph::Chain;
use super::*;

#[test]
fn who_follows_is_made_anew() {
    for follows in [false, true] {
        let mut chain = Chain::new(Grant::ClientCredentials, follows);
        let (attempt, _) = chain.request(0, "a");
        chain.answer("a", attempt, 100, Some(3600));
        let (attempt, _) = chain.request(0, "b");
        chain.answer("b", attempt, 3000, None);
        let (attempt, _) = chain.request(0, "c");
        chain.answer("c", attempt, 3000, None);
        let (attempt, _) = chain.request(75, "a");
        chain.answer("a", attempt, 100, Some(3600));
        let next = chain.requests(1);
        assert_eq!(next.len(), usize::from(follows));
        if let [(of, attempt, by)] = &next[..] {
            assert_eq!((of.as_str(), *by), ("b", Use::Primary));
            chain.answer("b", *attempt, 3000, None);
            assert_eq!(chain.requests(1).len(), 1, "c follows b");
        }
    }
}

/// With a refresh token of its own, it has another way, which does not follow.
#[test]
fn who_follows_is_made_anew_after_a_failure_too() {
    let mut chain = Chain::following(100, 3600);
    let (attempt, _) = chain.request(75, "a");
    chain.answer("a", attempt, 3600, Some(3600));
    let (attempt, by) = chain.request(1, "b");
    assert_eq!(by, Use::Primary);
    chain.fail("b", attempt, FailureKind::Unavailable);
    let (attempt, by) = chain.request(5, "b");
    assert_eq!(by, Use::Primary, "a still is another than b was made from");
    chain.answer("b", attempt, 3000, None);
    chain.request(1, "c");
}

/// The parent is away; its own refresh token is not.
#[test]
fn who_cannot_follow_lives_on() {
    let mut chain = Chain::following(100, 100);
    let (attempt, _) = chain.request(75, "a");
    chain.answer("a", attempt, 100, Some(100));
    let (attempt, _) = chain.request(1, "b");
    chain.fail("b", attempt, FailureKind::Unavailable);
    let end = chain.0.now + Duration::from_secs(300);
    let mut uses = Vec::new();
    while chain.0.now < end {
        for (of, attempt, by) in chain.requests(1) {
            match of.as_str() {
                "a" => chain.fail("a", attempt, FailureKind::Unavailable),
                "b" if by == Use::Primary => chain.fail("b", attempt, FailureKind::Unavailable),
                "b" => {
                    uses.push(by);
                    chain.answer_with_refresh_token("b", attempt, 3000);
                }
                _ => chain.answer("c", attempt, 9000, None),
            }
        }
    }
    assert_eq!(uses, [Use::RefreshToken], "once, and not in a loop");
    assert_eq!(chain.status("b").health, Health::Fresh);
}

#[test]
fn another_parent_is_no_news_to_who_is_denied() {
    let mut chain = Chain::new(Grant::ClientCredentials, true);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 20, Some(20));
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 20, None);
    let (attempt, _) = chain.request(0, "c");
    chain.answer("c", attempt, 9000, None);
    let mut tries = 0;
    for _ in 0..600 {
        for (of, attempt, _) in chain.requests(1) {
            match of.as_str() {
                "a" => chain.answer("a", attempt, 20, Some(20)),
                _ => {
                    tries += 1;
                    chain.fail("b", attempt, FailureKind::Denied);
                }
            }
        }
    }
    assert!(tries < 10, "{tries} tries in ten minutes");
}
