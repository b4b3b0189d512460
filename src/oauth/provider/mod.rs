//! What a provider publishes: its metadata, its keys, and documents in which values of a client stand.

pub(super) mod discovery;
pub(super) mod document;
pub(super) mod key_cache;
pub(super) mod key_set;
pub(super) mod single_flight;

pub use discovery::{Metadata, MetadataProblem};
pub use document::DocumentProblem;
pub use key_set::{KeySet, KeySetProblem};
