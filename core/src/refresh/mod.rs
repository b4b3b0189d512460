//! When to obtain which token, and what a failure means.
//!
//! [`Scheduler`] decides. It is told what happened and what time it is, and answers with commands.

pub mod backoff;
mod breaker;
pub mod event;
mod held;
mod limiter;
mod pace;
mod phase;
pub mod policy;
mod primary;
mod prng;
mod queue;
mod reminder;
mod scheduler;
mod servers;
mod slot;
pub mod status;
#[cfg(test)]
mod tests;
mod timers;
mod tokens;
mod verdict;
mod ways;

pub use event::{
    AttemptId, Command, Delivery, ErrorState, Event, Failure, FailureKind, Restored, Use,
};
pub use policy::{Grant, Limits, Parent, Part, Policy, RefreshAt, ServerId};
pub use scheduler::Scheduler;
pub use status::{Health, Reason, Status};
