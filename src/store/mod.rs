//! The tokens by name: what readers see of them, what survives a restart, and which units were
//! given them as credentials.

pub mod consumers;
pub mod events;
pub mod login_files;
pub mod moment;
pub mod published;
pub mod publisher;
pub mod seal;
pub mod state_dir;
pub mod state_file;
pub mod writer;

pub use consumers::Consumers;
pub use events::{Event, EventBus, EventKind, TokenEvent, Topic};
pub use login_files::{LoginFileError, LoginFiles};
pub use moment::{BootId, Moment};
pub use published::{DaemonView, Published, Registry, Standing, TokenView};
pub use publisher::Publisher;
pub use seal::{Sealer, SealerError};
pub use state_dir::{Loaded, StateDir, StateWarning};
pub use state_file::Record;
pub use writer::{StateError, StateWriter, Written};
