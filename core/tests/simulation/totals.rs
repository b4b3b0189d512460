//! How much of everything there was.

use std::fmt;

macro_rules! totals {
    ($($field:ident)*) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Totals {
            $(pub $field: u64,)*
        }

        impl Totals {
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl fmt::Display for Totals {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{:>12} {}", self.$field, stringify!($field).replace('_', " "))?;)*
                Ok(())
            }
        }
    };
}

totals! {
    attempts commits discarded expired quarantined deadlines outages lost_replies late_replies
    duplicated_replies restarts crashes_before_sending crashes_before_commit crashes_after_commit
    reboots suspends clock_steps reloads changed_keys changed_passwords logins exchanges waits_for_parents
    asked_for_logins virtual_days
}
