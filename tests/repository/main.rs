//! What the repository promises of itself: its layout, the shipped files and units, the manual pages.

mod architecture;
mod etc;
mod man;
mod units;
