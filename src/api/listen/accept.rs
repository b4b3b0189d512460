//! Says what to do when a connection cannot be accepted.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::api) enum AfterAcceptError {
    /// Descriptors or memory are short: an idle connection is to be closed, and the next try is to
    /// wait.
    BackOff,
    /// The listener itself is broken.
    GiveUp,
    /// That connection is gone. The next one may be well.
    Retry,
}

/// Sorts the errors of `accept(2)`.
pub(in crate::api) fn after(error: &io::Error) -> AfterAcceptError {
    match Errno::from_io_error(error) {
        Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
            AfterAcceptError::GiveUp
        }
        Some(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {
            AfterAcceptError::Retry
        }
        _ => AfterAcceptError::BackOff,
    }
}

/// How long to wait before the next try when descriptors or memory are short.
pub(in crate::api) const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_sorted() {
        let sorted = |errno: Errno| after(&errno.into());
        assert_eq!(sorted(Errno::MFILE), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::NFILE), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::NOMEM), AfterAcceptError::BackOff);
        assert_eq!(sorted(Errno::CONNABORTED), AfterAcceptError::Retry);
        assert_eq!(sorted(Errno::BADF), AfterAcceptError::GiveUp);
        assert_eq!(sorted(Errno::INVAL), AfterAcceptError::GiveUp);
    }
}
