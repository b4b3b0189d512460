//! TOML files to a checked [`Config`].

pub mod environment;
pub mod model;
pub mod secret_ref;

pub use environment::Environment;
pub use model::*;
pub use secret_ref::{SecretError, SecretRef};
