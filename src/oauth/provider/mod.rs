//! What a provider publishes: its metadata, its keys, and documents in which values of a client
//! stand.

pub(super) mod discovery;
pub(super) mod document;
mod error;
pub(super) mod key_cache;
pub(super) mod key_set;
mod metadata;
pub(super) mod single_flight;

pub use error::{DocumentProblem, ProviderError};
pub use key_set::{KeySet, KeySetProblem};
pub use metadata::{Metadata, MetadataProblem};
pub use single_flight::Shared;
