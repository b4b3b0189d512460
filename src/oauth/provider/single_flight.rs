//! One request at a time for what many ask for at once.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::Failure;
use tokio::sync::Semaphore;

use crate::clock;

/// Who comes while a request is under way waits for its outcome: a server that lets everybody wait
/// is not asked by each of those in turn. Of a request that is given up there is none, and the next
/// one asks.
pub(in crate::oauth) struct SingleFlight<E> {
    turn: Semaphore,
    failure: ArcSwapOption<(Instant, Arc<E>)>,
}

/// Why what many ask for at once cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Shared<E> {
    /// This is what the one is told that has sent the request.
    #[error(transparent)]
    Asked(Arc<E>),
    /// This is what those are told that have waited for its outcome.
    #[error(transparent)]
    Waited(Arc<E>),
}

impl<E> SingleFlight<E> {
    /// What `held` has, or else what `request` brings.
    pub(in crate::oauth) async fn get<T>(
        &self,
        held: impl Fn() -> Option<T>,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Shared<E>> {
        let begun = clock::now();
        if let Some(held) = held() {
            return Ok(held);
        }
        let _turn = self.turn.acquire().await;
        if let Some(held) = held() {
            return Ok(held);
        }
        if let Some(failure) = self.failure.load_full()
            && failure.0 >= begun
        {
            return Err(Shared::Waited(Arc::clone(&failure.1)));
        }
        request.await.map_err(|error| {
            let error = Arc::new(error);
            let failure = (clock::now(), Arc::clone(&error));
            self.failure.store(Some(Arc::new(failure)));
            Shared::Asked(error)
        })
    }
}

impl<E> Default for SingleFlight<E> {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
            failure: ArcSwapOption::empty(),
        }
    }
}

impl<E> Shared<E> {
    /// What it means for the schedule, by what the error itself means.
    pub(in crate::oauth) fn failure(&self, meaning: impl Fn(&E) -> Failure) -> Failure {
        match self {
            Self::Asked(error) => meaning(error),
            Self::Waited(error) => Failure {
                echo: true,
                ..meaning(error)
            },
        }
    }

    /// The error itself.
    pub(in crate::oauth) fn error(&self) -> &E {
        match self {
            Self::Asked(error) | Self::Waited(error) => error,
        }
    }
}
