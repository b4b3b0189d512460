//! The core of bearerd: when to obtain which token, and what a failure means.
//!
//! It depends on `std` alone and does nothing but decide: `now` is an argument of every call,
//! randomness comes from a seed, and no secret gets here. What it is told and what it answers is in
//! [`refresh`].

pub mod credential;
pub mod instant;
pub mod refresh;
