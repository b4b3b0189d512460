//! Tokens that are made from others: `b` from the ID token of `a`, `c` from the access token of
//! `b`.

use super::*;

fn parent(of: &str, part: Part) -> Vec<Parent> {
    vec![Parent {
        name: name(of),
        part,
        on_refresh: false,
    }]
}

pub(super) struct Chain(pub(super) Bench);

impl Chain {
    pub(super) fn new(root: Grant, follows_parents: bool) -> Self {
        let mut bench = Bench {
            scheduler: Scheduler::new(1),
            now: at(1000),
        };
        let made = |of, part| Policy {
            parents: parent(of, part),
            follows_parents,
            ..policy(Grant::Exchange)
        };
        let policies = BTreeMap::from([
            (name("a"), policy(root)),
            (name("b"), made("a", Part::IdToken)),
            (name("c"), made("b", Part::AccessToken)),
        ]);
        bench.scheduler.configure(bench.now, policies);
        Self(bench)
    }

    /// Follows; `a` and its ID token live this long, `b` has a refresh token of its own.
    pub(super) fn following(lifetime: u64, id_lifetime: u64) -> Self {
        let mut chain = Self::new(Grant::ClientCredentials, true);
        let (attempt, _) = chain.request(0, "a");
        chain.answer("a", attempt, lifetime, Some(id_lifetime));
        let (attempt, _) = chain.request(0, "b");
        chain.answer_with_refresh_token("b", attempt, 3000);
        let (attempt, _) = chain.request(0, "c");
        chain.answer("c", attempt, 3000, None);
        chain
    }

    /// The requests sent until then.
    pub(super) fn requests(&mut self, seconds: u64) -> Vec<(TokenName, AttemptId, Use)> {
        let end = self.0.now + Duration::from_secs(seconds);
        let commands = self.0.until(end);
        commands
            .into_iter()
            .filter_map(|command| match command {
                Command::Obtain { name, attempt, by } => Some((name, attempt, by)),
                _ => None,
            })
            .collect()
    }

    /// Expects one request, of this token.
    pub(super) fn request(&mut self, seconds: u64, of: &str) -> (AttemptId, Use) {
        let end = self.0.now + Duration::from_secs(seconds);
        while let Some(next) = self.0.scheduler.poll_timeout().filter(|next| *next <= end) {
            self.0.now = self.0.now.max(next);
            self.0.scheduler.handle_timeout(self.0.now);
            for command in self.0.commands() {
                if let Command::Obtain { name, attempt, by } = command {
                    assert_eq!(name.as_str(), of);
                    return (attempt, by);
                }
            }
        }
        panic!("no request within {seconds} s");
    }

    /// Answers with a token, and an ID token of `id_lifetime`.
    pub(super) fn answer(
        &mut self,
        of: &str,
        attempt: AttemptId,
        lifetime: u64,
        id_lifetime: Option<u64>,
    ) {
        let after = |seconds| self.0.now + Duration::from_secs(seconds);
        let validity = Validity {
            obtained_at: self.0.now,
            expires_at: after(lifetime),
            refresh: None,
            id_token_expires_at: id_lifetime.map(after),
        };
        self.0.event(Event::Obtained {
            name: name(of),
            attempt,
            validity,
        });
    }

    pub(super) fn answer_with_refresh_token(
        &mut self,
        of: &str,
        attempt: AttemptId,
        lifetime: u64,
    ) {
        let validity = Validity {
            obtained_at: self.0.now,
            expires_at: self.0.now + Duration::from_secs(lifetime),
            refresh: Some(RefreshValidity { expires_at: None }),
            id_token_expires_at: None,
        };
        self.0.event(Event::Obtained {
            name: name(of),
            attempt,
            validity,
        });
    }

    pub(super) fn fail(&mut self, of: &str, attempt: AttemptId, kind: FailureKind) {
        let failure = Failure {
            kind,
            delivery: Delivery::Answered,
            retry_after: None,
            echo: false,
        };
        self.0.event(Event::Failed {
            name: name(of),
            attempt,
            failure,
        });
    }

    pub(super) fn status(&self, of: &str) -> Status {
        self.0.scheduler.status(&name(of)).unwrap()
    }
}

#[test]
fn one_after_the_other() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    assert!(chain.status("b").waits_for_parent && chain.status("c").waits_for_parent);
    assert_eq!(chain.status("c").health, Health::Pending);
    chain.answer("a", attempt, 600, Some(3600));
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 600, None);
    let (attempt, _) = chain.request(0, "c");
    chain.answer("c", attempt, 600, None);
    for token in ["a", "b", "c"] {
        assert_eq!(chain.status(token).health, Health::Fresh);
    }
    // Each by its own lifetime, and none more often.
    assert_eq!(chain.requests(400).len(), 0);
}

#[test]
fn a_parent_that_would_not_outlive_the_request_goes_first() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 3600, Some(100));
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 130, None);
    let (attempt, _) = chain.request(0, "c");
    chain.answer("c", attempt, 3600, None);
    // Due after 97 s: the ID token has 3 left, and a request may take 10.
    let (attempt, _) = chain.request(98, "a");
    assert!(chain.status("b").waits_for_parent);
    chain.answer("a", attempt, 3600, Some(100));
    let (_, by) = chain.request(0, "b");
    assert_eq!(by, Use::Primary);
}

#[test]
fn the_root_names_the_state() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.fail("a", attempt, FailureKind::Denied);
    for token in ["b", "c"] {
        let expected = Health::Failing {
            state: ErrorState::Denied,
            reason: Reason::Parent,
        };
        assert_eq!(chain.status(token).health, expected);
    }
    let changed: Vec<_> = std::iter::from_fn(|| chain.0.scheduler.poll_changed()).collect();
    assert!(changed.contains(&name("b")) && changed.contains(&name("c")));
    // Only the root is tried again, by its own schedule.
    let tried = chain.requests(3600);
    assert!(!tried.is_empty() && tried.iter().all(|(of, ..)| of.as_str() == "a"));
}

#[test]
fn a_login_sets_the_chain_going() {
    let mut chain = Chain::new(Grant::Login, false);
    assert_eq!(chain.requests(5).len(), 0);
    let needs_login = |reason| Health::Failing {
        state: ErrorState::NeedsLogin,
        reason,
    };
    assert_eq!(chain.status("a").health, needs_login(Reason::LoginRequired));
    assert_eq!(chain.status("c").health, needs_login(Reason::Parent));
    let attempt = chain.0.scheduler.begin_attempt();
    let validity = Validity {
        obtained_at: chain.0.now,
        expires_at: chain.0.now + Duration::from_secs(300),
        refresh: None,
        id_token_expires_at: Some(chain.0.now + Duration::from_secs(300)),
    };
    chain.0.event(Event::LoggedIn {
        name: name("a"),
        attempt,
        validity,
    });
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 300, None);
    chain.request(0, "c");
}

#[test]
fn a_part_that_never_comes_is_no_loop() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 3600, None);
    let health = Health::Failing {
        state: ErrorState::FixConfig,
        reason: Reason::ParentLacksPart,
    };
    assert_eq!(chain.requests(2000).len(), 0);
    assert_eq!(chain.status("b").health, health);
    assert_eq!(
        chain.status("c").health,
        Health::Failing {
            state: ErrorState::FixConfig,
            reason: Reason::Parent,
        }
    );
}

#[test]
fn a_part_that_lives_for_seconds_is_not_missing() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 3600, Some(2));
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 6, None);
    let (attempt, _) = chain.request(0, "c");
    chain.answer("c", attempt, 3600, None);
    let (attempt, _) = chain.request(6, "a");
    chain.answer("a", attempt, 3600, Some(2));
    chain.request(0, "b");
}

/// A refresh need not bring another ID token: the one held stays, and it has ended.
#[test]
fn a_part_that_ended_before_is_missing() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    let validity = Validity {
        obtained_at: chain.0.now,
        expires_at: chain.0.now + Duration::from_secs(3600),
        refresh: None,
        id_token_expires_at: Some(chain.0.now),
    };
    chain.0.event(Event::Obtained {
        name: name("a"),
        attempt,
        validity,
    });
    assert_eq!(chain.requests(2000).len(), 0);
    let failing = matches!(chain.status("b").health, Health::Failing { .. });
    assert!(failing, "{:?}", chain.status("b"));
}

#[test]
fn a_refused_parent_is_replaced() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 3600, Some(3600));
    let (attempt, _) = chain.request(0, "b");
    chain.fail("b", attempt, FailureKind::GrantRefused);
    let state = match chain.status("b").health {
        Health::Failing { state, .. } => state,
        health => panic!("{health:?}"),
    };
    assert_eq!(state, ErrorState::Transient);
    // Its session was ended at the server, say.
    let (attempt, _) = chain.request(1, "a");
    chain.answer("a", attempt, 3600, Some(3600));
    let (attempt, _) = chain.request(1, "b");
    // Or was it not? From now on the backoff counts.
    chain.fail("b", attempt, FailureKind::GrantRefused);
    let (attempt, _) = chain.request(5, "b");
    chain.answer("b", attempt, 3600, None);
    chain.request(0, "c");
}

#[test]
fn a_valid_token_stays_while_its_parent_fails() {
    let mut chain = Chain::new(Grant::ClientCredentials, false);
    let (attempt, _) = chain.request(0, "a");
    chain.answer("a", attempt, 100, Some(50));
    let (attempt, _) = chain.request(0, "b");
    chain.answer("b", attempt, 200, None);
    let (attempt, _) = chain.request(0, "c");
    chain.answer("c", attempt, 4000, None);
    let (attempt, _) = chain.request(80, "a");
    chain.fail("a", attempt, FailureKind::Misconfigured);
    let end = at(1199);
    let withdrawn = |commands: Vec<Command>, of: &str| {
        let withdraw = Command::Withdraw { name: name(of) };
        commands.contains(&withdraw)
    };
    let until = chain.0.until(end);
    assert!(!withdrawn(until, "b"));
    let until = chain.0.until(at(1200));
    assert!(withdrawn(until, "b"));
    assert_eq!(
        chain.status("c").health,
        Health::Fresh,
        "c lives on its own"
    );
}

#[test]
fn a_refused_login_that_nothing_replaces_is_kept() {
    let mut chain = Chain::new(Grant::Login, false);
    let attempt = chain.0.scheduler.begin_attempt();
    let ends_at = chain.0.now + Duration::from_secs(3600);
    let validity = Validity {
        obtained_at: chain.0.now,
        expires_at: ends_at,
        refresh: None,
        id_token_expires_at: Some(ends_at),
    };
    chain.0.event(Event::LoggedIn {
        name: name("a"),
        attempt,
        validity,
    });
    let (attempt, _) = chain.request(0, "b");
    chain.fail("b", attempt, FailureKind::GrantRefused);
    chain.0.event(Event::RefreshRequested { name: name("a") });
    let (attempt, _) = chain.request(5, "b");
    assert_eq!(chain.status("a").health, Health::Fresh);
    chain.answer("b", attempt, 3000, None);
    chain.request(0, "c");
}
