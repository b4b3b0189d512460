//! One request at a time for what many ask for at once.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use tokio::sync::Semaphore;

use crate::clock;
use crate::oauth::error::SourceError;

/// Who comes while a request is under way waits for its outcome: a server that lets everybody wait is not asked by
/// each of those in turn. Of a request that is given up there is none, and the next one asks.
pub(in crate::oauth) struct SingleFlight {
    turn: Semaphore,
    failure: ArcSwapOption<(Instant, Arc<SourceError>)>,
}

impl Default for SingleFlight {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
            failure: ArcSwapOption::empty(),
        }
    }
}

impl SingleFlight {
    /// What `held` has, or else what `request` brings.
    pub(in crate::oauth) async fn get<T>(
        &self,
        held: impl Fn() -> Option<T>,
        request: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
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
            return Err(SourceError::Echo(Arc::clone(&failure.1)));
        }
        request.await.map_err(|error| {
            let error = Arc::new(error);
            let failure = (clock::now(), Arc::clone(&error));
            self.failure.store(Some(Arc::new(failure)));
            SourceError::Shared(error)
        })
    }
}
