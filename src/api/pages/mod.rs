//! The pages of the HTTP API.
//!
//! | file | duty |
//! |---|---|
//! | `connection` | one HTTP client: its limits, who it is, what it asks |
//! | `route` | which page a request line asks for, and who may get it |
//! | `router` | from an authorized request to its page |
//! | `response` | text and JSON as responses |
//! | [`token`] | one token |
//! | [`login`], [`logout`] | somebody logs in to a token, or out |
//! | [`status`] | how tokens and daemon stand |
//! | [`events`], `event_stream` | what happens, while it happens |
//! | `metrics` | how tokens and daemon stand as numbers, for OpenMetrics |

pub(super) mod connection;
mod event_stream;
pub mod events;
pub mod login;
pub mod logout;
mod metrics;
mod response;
mod route;
mod router;
pub mod status;
pub mod token;
