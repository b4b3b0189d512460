//! `[token.NAME.refresh]`: when a token is replaced.

use std::time::Duration;

use bearerd_core::refresh::RefreshAt;
use toml::de::DeValue;

use super::keys::{Field, Keys};
use super::units::{boolean, duration};

/// `[token.NAME.refresh]`.
#[derive(Default)]
pub(super) struct Refresh {
    pub(super) at: Option<RefreshAt>,
    pub(super) follow_source: Option<bool>,
    pub(super) inactivity: Option<Duration>,
    pub(super) login_notice: Option<Duration>,
}

/// Reads the table.
pub(super) fn refresh(field: Field<'_>) -> Option<Refresh> {
    let mut keys = field.keys()?;
    let at = refresh_at(&mut keys);
    let follow_source = keys.optional("follow_source", boolean);
    let inactivity = keys.optional("inactivity", duration);
    let login_notice = keys.optional("login_notice", duration);
    keys.finish();
    Some(Refresh {
        at,
        follow_source,
        inactivity,
        login_notice,
    })
}

/// Reads `at` or `before_expiry`, of which there is one at most.
fn refresh_at(keys: &mut Keys<'_>) -> Option<RefreshAt> {
    let at = keys.optional("at", permille);
    let before_expiry = keys.optional("before_expiry", duration);
    if keys.has("at") && keys.has("before_expiry") {
        let message = format!("`{}` has both `at` and `before_expiry`", keys.name);
        keys.refuse("before_expiry", message, "keep one of them");
    }
    let fraction = at.map(RefreshAt::Permille);
    fraction.or(before_expiry.map(RefreshAt::BeforeExpiry))
}

/// Reads a fraction above 0 and below 1, in thousandths.
fn permille(field: Field<'_>) -> Option<u16> {
    let what = "a fraction of the lifetime from 0.001 to 0.999, such as 0.75";
    let number = match field.value() {
        DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
        DeValue::Integer(_) => None,
        _ => {
            let hint = "for a time before the expiry write `before_expiry = \"5m\"`";
            return field.wrong_type(what, hint);
        }
    };
    match number.map(|n| (n * 1000.0).round()) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 999"
        )]
        Some(permille) if (1.0..=999.0).contains(&permille) => Some(permille as u16),
        _ => field.must_be(what, ""),
    }
}
