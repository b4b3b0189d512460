//! What one authorization server may be asked at once, and by which token next.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::backoff::{self, RATE_LIMITED_CAP};
use super::breaker::Breaker;
use super::event::{AttemptId, Delivery, Failure, FailureKind};
use super::policy::{Limits, Policy, ServerId};
use super::prng::Prng;
use crate::credential::TokenName;
use crate::instant::Instant;

/// The place of a token in the queue. Its slot keeps it, because leaving the queue takes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// The token with the earliest urgency is served first.
    pub(super) urgency: Instant,
    /// When something is lost: the access token expires, or the only refresh token does.
    pub(super) lost_at: Option<Instant>,
}

/// Who may send.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Admission {
    /// Nobody waits, or a request has to end first.
    Closed,
    /// This token may send now.
    Next(TokenName),
    /// Nobody before this instant.
    NotBefore(Instant),
}

/// One authorization server.
#[derive(Debug)]
pub(super) struct Server {
    limits: Limits,
    in_flight: u32,
    breaker: Breaker,
    /// When the next request is due if all are evenly spaced: the generic cell rate algorithm.
    theoretical_arrival: Instant,
    /// The server wants to be left alone until then.
    paused_until: Instant,
    /// Consecutive answers that asked for fewer requests.
    throttled: u32,
    queue: BTreeSet<(Instant, TokenName)>,
    /// How many queued tokens lose something at which instant.
    losses: BTreeMap<Instant, u32>,
    /// When the timer that is set for the server goes off.
    pub(super) armed: Option<Instant>,
}

impl Server {
    /// A server that has not been asked yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            in_flight: 0,
            breaker: Breaker::default(),
            theoretical_arrival: Instant::BOOT,
            paused_until: Instant::BOOT,
            throttled: 0,
            queue: BTreeSet::new(),
            losses: BTreeMap::new(),
            armed: None,
        }
    }

    /// Replaces the limits.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether the server wants to be left alone.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        now < self.paused_until
    }

    /// Whether somebody waits.
    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A token wants to send.
    pub(super) fn enqueue(&mut self, name: &TokenName, place: Place) {
        self.queue.insert((place.urgency, name.clone()));
        if let Some(lost_at) = place.lost_at {
            *self.losses.entry(lost_at).or_default() += 1;
        }
    }

    /// A token no longer wants to send.
    pub(super) fn dequeue(&mut self, name: &TokenName, place: Place) {
        self.queue.remove(&(place.urgency, name.clone()));
        let lost_at = place.lost_at.unwrap_or_default();
        if let Some(count) = self.losses.get_mut(&lost_at) {
            *count -= 1;
            if *count == 0 {
                self.losses.remove(&lost_at);
            }
        }
    }

    /// The most urgent token, if one may send now.
    pub(super) fn admit(&self, now: Instant) -> Admission {
        let Some((_, name)) = self.queue.first() else {
            return Admission::Closed;
        };
        if self.in_flight >= self.limits.max_in_flight.max(1) {
            return Admission::Closed;
        }
        let lost_after = |since| {
            let mut later = self
                .losses
                .range((Bound::Excluded(since), Bound::Unbounded));
            later.next().map(|(lost_at, _)| *lost_at)
        };
        let Some(permitted_at) = self.breaker.permits(lost_after) else {
            return Admission::Closed;
        };
        let at = permitted_at.max(self.paused_until).max(self.paced());
        if at <= now {
            Admission::Next(name.clone())
        } else {
            Admission::NotBefore(at)
        }
    }

    /// A request goes out.
    pub(super) fn sent(&mut self, now: Instant, attempt: AttemptId) {
        self.in_flight += 1;
        self.breaker.sent(attempt);
        if let Some((_, interval)) = self.pace() {
            self.theoretical_arrival = self.theoretical_arrival.max(now) + interval;
        }
    }

    /// A request brought a token.
    pub(super) fn succeeded(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.throttled = 0;
        self.breaker.answered();
    }

    /// A request failed.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        failure: &Failure,
        prng: &mut Prng,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match (failure.kind, failure.delivery) {
            _ if failure.echo => self.breaker.ended(now, attempt),
            (FailureKind::Unavailable, _) => self.breaker.failed(now, attempt, prng),
            (FailureKind::RateLimited, _) => {
                self.throttled = self.throttled.saturating_add(1);
                let pause = match failure.retry_after {
                    Some(_) => backoff::heeded(failure.retry_after),
                    None => backoff::delay(self.throttled, RATE_LIMITED_CAP, prng),
                };
                self.paused_until = self.paused_until.max(now + pause);
                self.breaker.ended(now, attempt);
            }
            (_, Delivery::Answered) => {
                self.throttled = 0;
                self.breaker.answered();
            }
            // A key that cannot be read, say: it tells nothing about the server.
            (_, Delivery::NotSent | Delivery::Unknown) => self.breaker.ended(now, attempt),
        }
    }

    /// A request was given up for a reason of ours.
    pub(super) fn cancelled(&mut self, now: Instant, attempt: AttemptId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.breaker.ended(now, attempt);
    }

    /// From when on the published rate allows a request.
    fn paced(&self) -> Instant {
        self.pace().map_or(Instant::BOOT, |(burst, interval)| {
            self.theoretical_arrival
                .saturating_sub(interval.saturating_mul(burst))
        })
    }

    /// How many requests may go ahead of time, and the interval that keeps any minute within the
    /// published figure although a tenth of it may come in one burst.
    fn pace(&self) -> Option<(u32, Duration)> {
        let per_minute = self.limits.requests_per_minute?.max(1);
        let burst = per_minute / 10;
        Some((burst, Duration::from_secs(60) / (per_minute - burst)))
    }
}

/// The smallest limits that any token of a server sets. From then on the policies of one server
/// share its text.
pub(super) fn limits_by_server(
    policies: &mut BTreeMap<TokenName, Policy>,
) -> BTreeMap<ServerId, Limits> {
    let mut servers = BTreeMap::<ServerId, Limits>::new();
    for Policy { server, limits, .. } in policies.values_mut() {
        if let Some((shared, _)) = servers.get_key_value(server) {
            *server = shared.clone();
        }
        let smallest = servers.entry(server.clone()).or_insert(*limits);
        smallest.max_in_flight = smallest.max_in_flight.min(limits.max_in_flight);
        let per_minute = [smallest.requests_per_minute, limits.requests_per_minute];
        smallest.requests_per_minute = per_minute.into_iter().flatten().min();
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Limits = Limits {
        max_in_flight: 2,
        requests_per_minute: None,
    };

    fn at(seconds: u64) -> Instant {
        Instant::since_boot(Duration::from_secs(seconds))
    }

    fn name(name: &str) -> TokenName {
        TokenName::parse(name).unwrap()
    }

    fn place(urgency: u64) -> Place {
        Place {
            urgency: at(urgency),
            lost_at: Some(at(urgency)),
        }
    }

    fn failure(kind: FailureKind, retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure {
            kind,
            delivery: Delivery::Answered,
            retry_after,
            echo: false,
        }
    }

    /// Asks until `until` as often as permitted; when requests went out.
    fn flood(server: &mut Server, until: Instant) -> Vec<Instant> {
        let mut now = at(0);
        let mut sent = Vec::new();
        server.enqueue(&name("a"), place(9999));
        while now < until {
            match server.admit(now) {
                Admission::Next(_) => {
                    server.sent(now, AttemptId(0));
                    server.succeeded();
                    sent.push(now);
                }
                Admission::NotBefore(next) => now = next,
                Admission::Closed => unreachable!(),
            }
        }
        sent
    }

    #[test]
    fn serves_the_most_urgent_within_the_limit() {
        let mut server = Server::new(FREE);
        assert_eq!(server.admit(at(1)), Admission::Closed);
        server.enqueue(&name("later"), place(30));
        server.enqueue(&name("soon"), place(20));
        for expected in ["soon", "later"] {
            let Admission::Next(next) = server.admit(at(1)) else {
                panic!()
            };
            assert_eq!(next, name(expected));
            server.dequeue(&next, place(if expected == "soon" { 20 } else { 30 }));
            server.sent(at(1), AttemptId(1));
        }
        assert!(!server.has_queue() && server.losses.is_empty());
        server.enqueue(&name("third"), place(30));
        assert_eq!(server.admit(at(1)), Admission::Closed);
        server.succeeded();
        assert_eq!(server.admit(at(1)), Admission::Next(name("third")));
    }

    #[test]
    fn no_minute_holds_more_than_the_published_figure() {
        for per_minute in [1, 2, 9, 10, 30, 300] {
            let limits = Limits {
                max_in_flight: 1,
                requests_per_minute: Some(per_minute),
            };
            let sent = flood(&mut Server::new(limits), at(600));
            for (index, first) in sent.iter().enumerate() {
                let minute = *first + Duration::from_millis(59_999);
                let within = sent[index..].iter().take_while(|t| **t <= minute).count();
                assert!(within <= per_minute as usize, "{per_minute}: {within}");
            }
            assert!(
                sent.len() >= per_minute as usize * 9,
                "{per_minute}: {}",
                sent.len()
            );
        }
    }

    #[test]
    fn rate_limiting_pauses_the_whole_server() {
        let mut server = Server::new(FREE);
        server.enqueue(&name("a"), place(20));
        server.sent(at(1), AttemptId(1));
        let limited = failure(FailureKind::RateLimited, Some(60));
        server.failed(at(2), AttemptId(1), &limited, &mut Prng::new(1));
        assert_eq!(server.admit(at(3)), Admission::NotBefore(at(62)));
        let absurd = failure(FailureKind::RateLimited, Some(1 << 60));
        server.failed(at(2), AttemptId(1), &absurd, &mut Prng::new(1));
        assert_eq!(server.admit(at(3)), Admission::NotBefore(at(602)));
    }

    #[test]
    fn a_server_that_is_down_is_probed_and_what_is_lost_does_not_hurry() {
        let mut server = Server::new(FREE);
        let down = failure(FailureKind::Unavailable, None);
        server.enqueue(&name("lost"), place(50));
        for id in 0..8 {
            server.sent(at(100), AttemptId(id));
            server.failed(at(100), AttemptId(id), &down, &mut Prng::new(1));
        }
        let Admission::NotBefore(unhurried) = server.admit(at(100)) else {
            panic!()
        };
        assert!(unhurried > at(102), "{unhurried:?}");
        server.enqueue(&name("a"), place(104));
        assert_eq!(server.admit(at(100)), Admission::NotBefore(at(101)));
        server.sent(at(101), AttemptId(9));
        assert_eq!(server.admit(at(200)), Admission::Closed);
        server.succeeded();
        assert_eq!(server.admit(at(101)), Admission::Next(name("lost")));
    }

    #[test]
    fn an_echo_counts_for_nothing_but_itself() {
        for kind in [FailureKind::Unavailable, FailureKind::RateLimited] {
            let mut server = Server::new(FREE);
            server.enqueue(&name("a"), place(104));
            let echo = Failure {
                echo: true,
                ..failure(kind, None)
            };
            for id in 0..8 {
                server.sent(at(100), AttemptId(id));
                server.failed(at(100), AttemptId(id), &echo, &mut Prng::new(1));
            }
            assert_eq!(server.admit(at(100)), Admission::Next(name("a")));
        }
    }

    #[test]
    fn a_refusal_of_one_token_is_an_answer() {
        let mut server = Server::new(FREE);
        server.enqueue(&name("a"), place(104));
        let down = failure(FailureKind::Unavailable, None);
        for id in 0..5 {
            server.sent(at(100), AttemptId(id));
            server.failed(at(100), AttemptId(id), &down, &mut Prng::new(1));
        }
        assert_eq!(server.admit(at(100)), Admission::NotBefore(at(101)));
        server.sent(at(101), AttemptId(9));
        let refused = failure(FailureKind::GrantRefused, None);
        server.failed(at(101), AttemptId(9), &refused, &mut Prng::new(1));
        assert_eq!(server.admit(at(101)), Admission::Next(name("a")));
    }
}
