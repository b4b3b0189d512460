//! A point in time that can be told from others after a reboot.

use std::time::Duration;

use bearerd_core::instant::Instant;

/// Which boot of the machine this is. It is unknown where the kernel does not say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BootId(pub(super) Option<String>);

impl BootId {
    /// The kernel does not say which boot this is.
    pub const UNKNOWN: Self = Self(None);

    /// Asks the kernel (`random(4)`). It is unknown where `/proc/sys` is hidden: then wall time
    /// decides.
    #[must_use]
    pub fn of_system() -> Self {
        let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self(read.ok().map(|id| id.trim().to_owned()))
    }
}

impl From<&str> for BootId {
    fn from(id: &str) -> Self {
        Self(Some(id.into()))
    }
}

/// One point in time on both clocks, and the boot it belongs to.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The boot that it belongs to.
    pub boot: BootId,
    /// The clock of all decisions.
    pub now: Instant,
    /// The wall clock: time since the epoch.
    pub unix_now: Duration,
}
