//! Publishes how one token stands: to whoever reads it, and to whoever follows events.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use bearerd_core::refresh::Status;
use tokio::sync::watch;

use super::events::{EventBus, EventKind, Snapshot, TokenEvent, Topic};
use super::published::{Published, TokenView};
use crate::config::TokenConfig;

/// The one writer of a token's view. Each verb changes the view in one step, and then tells those
/// who follow events what the change means.
#[derive(Debug)]
pub struct Publisher {
    view: watch::Sender<TokenView>,
    events: EventBus,
}

impl Publisher {
    /// Begins with this view. Nobody is told yet: readers come by [`Publisher::subscribe`], and
    /// [`Publisher::tell_configured`] tells those who follow events, once the readers can be found.
    #[must_use]
    pub fn new(view: TokenView, events: EventBus) -> Self {
        Self {
            view: watch::Sender::new(view),
            events,
        }
    }

    /// A reader's end: it always has the newest view.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<TokenView> {
        self.view.subscribe()
    }

    /// How many readers there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.view.receiver_count()
    }

    /// The view as readers have it now. It must be dropped before the next change.
    #[must_use]
    pub fn view(&self) -> watch::Ref<'_, TokenView> {
        self.view.borrow()
    }

    /// Replaces the token's configuration. Those who follow events are told by
    /// [`Publisher::tell_configured`].
    pub fn configure(&self, config: Arc<TokenConfig>) {
        self.view.send_modify(|view| view.config = config);
    }

    /// Tells that the token has been added, or that its configuration has changed.
    pub fn tell_configured(&self) {
        self.tell(EventKind::Configured);
    }

    /// Tells that the token is no longer configured.
    pub fn tell_removed(&self) {
        self.tell(EventKind::Removed);
    }

    /// Lets readers see a token, unless it has expired or they have a newer one. Returns whether it
    /// is new to them: of the one that they have, only the times change.
    pub fn publish(&self, now: Instant, published: Published) -> bool {
        if published.token.validity.expires_at <= now {
            return false;
        }
        let mut new = false;
        self.change(|view| {
            let held = view.current.as_ref().map(|held| held.generation);
            new = held.is_none_or(|held| held < published.generation);
            let seen = new || held == Some(published.generation);
            if seen {
                view.current = Some(published);
            }
            seen
        });
        new
    }

    /// Takes the current token from the readers: it has expired, or is not to be used any more.
    pub fn withdraw(&self) {
        self.change(|view| view.current.take().is_some());
    }

    /// Shows what the core says of the token, and why it fails, if it does. Readers see both at
    /// once.
    pub fn set_status(&self, status: Status, error: Option<Arc<str>>) {
        self.change(|view| {
            let standing = &mut view.standing;
            let differs = standing.status != status || standing.last_error != error;
            standing.status = status;
            standing.last_error = error;
            differs
        });
    }

    /// Shows what is wrong with the token's outputs.
    pub fn set_output_errors(&self, errors: Vec<Arc<str>>) {
        self.view.send_if_modified(|view| {
            let differs = view.standing.output_errors != errors;
            view.standing.output_errors = errors;
            differs
        });
    }

    fn tell(&self, kind: EventKind) {
        let event = TokenEvent::new(kind, &self.view.borrow());
        self.events.send(Topic::Token(event));
    }

    fn change(&self, change: impl FnOnce(&mut TokenView) -> bool) -> bool {
        let before = Snapshot::from(&*self.view.borrow());
        let changed = self.view.send_if_modified(change);
        if changed {
            self.events.compare(before, &self.view.borrow());
        }
        changed
    }
}
