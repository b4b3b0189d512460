//! Current tokens by name: published to readers, durable across restarts.

pub mod published;

pub use published::{DaemonView, Published, Registry, Standing, TokenView};
