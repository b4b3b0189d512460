//! The core: when to obtain which token, and what a failure means.
//!
//! Pure. It imports `std`, [`crate::credential`] and [`crate::instant`] only; `now` is an argument of every
//! call and randomness comes from a seed. The shell drives it with four verbs: feed events in, call
//! `handle_timeout` at `poll_timeout`, and carry out what `poll_command` hands out.

pub mod backoff;
mod breaker;
mod changed;
mod configure;
pub mod event;
mod failed;
mod graph;
mod limiter;
pub mod policy;
mod prng;
mod reminder;
mod scheduler;
mod slot;
pub mod status;
#[cfg(test)]
mod tests;
mod timers;
mod verdict;

pub use event::{
    AttemptId, Command, Delivery, ErrorState, Event, Failure, FailureKind, Restored, Use,
};
pub use policy::{Grant, Limits, Parent, Part, Policy, RefreshAt, ServerId};
pub use scheduler::Scheduler;
pub use status::{Health, Reason, Status};
