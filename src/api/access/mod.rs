//! Who asks, what they may, and what the log says of it.
//!
//! | file | duty |
//! |---|---|
//! | `peer` | who connected, by the kernel's word |
//! | `process` | the groups and the unit of who connected |
//! | `rights` | who may do what with a token |
//! | `caller` | a peer, and what the rights say of it |
//! | `audit` | what the log says of who reads what |

mod audit;
mod caller;
mod peer;
mod process;
mod rights;

pub(super) use audit::Audit;
pub use caller::Caller;
pub use peer::Peer;
pub use process::ProcessError;
pub use rights::{Grounds, Right, authorize};
