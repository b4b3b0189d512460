//! Trying again for a while, where a person waits.

use std::time::Duration;

use crate::clock;
use crate::oauth::error::ObtainError;

/// Tries again for so long while the server is out and the failure is such that it may be done. Not
/// when the server asks to wait for longer (`Retry-After`, RFC 9110 section 10.2.3).
pub(super) async fn patiently<T, F: Future<Output = Result<T, ObtainError>>>(
    patience: Duration,
    may_retry: impl Fn(&ObtainError) -> bool,
    mut try_once: impl FnMut() -> F,
) -> Result<T, ObtainError> {
    let until = clock::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match try_once().await {
            Err(error) if error.is_passing() && may_retry(&error) => error,
            ended => return ended,
        };
        let asked = error.failure().retry_after.unwrap_or_default();
        let wait = pause.max(asked);
        if clock::now() + wait > until {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
}

/// For how long each of the two steps is tried again that a person's login still needs: nobody
/// likes to log in twice. Whoever waits for them does so for a minute, and each last try takes its
/// time, too.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Before the second try; doubled before each other one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
