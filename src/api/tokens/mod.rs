//! Reads a token, waits for one, has one replaced: the same for each of the three protocols.
//!
//! | file | duty |
//! |---|---|
//! | `query` | what a reader asks for: `min_ttl` and `wait` |
//! | `read` | a token that is valid for long enough |
//! | `refresh` | another token in place of the current one |
//! | `rejected` | the hash of a token that an API has rejected |
//! | `view` | the view of a token: found, followed, judged |

mod query;
mod read;
mod refresh;
mod rejected;
mod view;

pub use query::{InvalidDuration, MAX_WAIT, Query, parse_duration};
pub use read::read;
pub use refresh::refresh;
pub use rejected::{InvalidHash, RejectedHash};
pub use view::view;
pub(super) use view::{newer, next, subscribe};
