//! Puts a configuration in force, and tells all owners of it.

use std::sync::Arc;

use bearerd_core::instant::Instant;
use bearerd_core::refresh::Event;
use tracing::{error, info, warn};

use crate::sink;
use crate::store::Topic;
use crate::watch::Followed;

use super::inputs::{Changed, Inputs};
use super::owners::Owners;
use super::reload;
use super::tokens::Configured;

/// Takes over what was loaded, or keeps what is in force. Returns the files to follow from now on.
pub(super) fn loaded(owners: &mut Owners, now: Instant, ended: reload::Ended) -> Option<Followed> {
    let followed = match ended.result {
        Ok(inputs) => {
            let followed = inputs.followed.clone();
            apply(owners, now, inputs, &ended.changed);
            owners.tokens.events().send(Topic::Configuration(Ok(())));
            let tokens = owners.configuration.tokens().len();
            info!(tokens, "configuration in force");
            Some(followed)
        }
        Err(errors) => {
            owners.reload.refuse(ended.changed);
            let text = errors.to_string();
            error!("the new configuration is refused, the one before it stays in force\n{text}");
            let text: Arc<str> = text.into();
            owners
                .announcements
                .configuration_refused(Arc::clone(&text));
            owners.tokens.events().send(Topic::Configuration(Err(text)));
            None
        }
    };
    if owners.reload.is_to_be_told() {
        owners.announcements.service().ready();
    }
    followed
}

/// Puts inputs in force: the first ones at start, and each later reload.
pub(super) fn apply(owners: &mut Owners, now: Instant, inputs: Inputs, changed: &Changed) {
    let before = owners.configuration.replace(inputs);
    let config = Arc::clone(&owners.configuration.inputs().config);
    let Configured { new, revocable } = owners.tokens.configure(&config.tokens);
    owners.schedule.configure(now, &config.tokens);
    for (config, record) in revocable {
        owners.durability.remove(record.name.clone(), None);
        let input_tokens = owners.tokens.input_tokens_of(&config);
        owners
            .revocations
            .revoke_removed(record, before.client(&config), input_tokens);
    }
    owners.logins.forget_outdated(&config.tokens);
    for name in &new {
        if let Some(restored) = owners.tokens.restore(now, name) {
            let name = name.clone();
            owners.handle(now, Event::Restored { name, restored });
        }
    }
    for name in owners.configuration.touched(&before, changed, &new) {
        owners.handle(now, Event::InputsChanged { name });
    }
    for name in owners.configuration.outputs_touched(changed, &new) {
        owners.tokens.retire_outputs(&name);
    }
    for name in config.tokens.keys() {
        owners.schedule.show(name, &mut owners.tokens);
    }
    let runtime_dir = &owners.configuration.started_with().runtime_dir;
    sink::make_directories(runtime_dir, config.tokens.values().map(AsRef::as_ref));
    owners.tokens.start_outputs();
    for text in owners.configuration.inputs().warnings.values() {
        warn!("{text}");
    }
    owners.announcements.configuration_in_force(&config);
    owners
        .announcements
        .update_view(&owners.tokens, &owners.configuration, &owners.durability);
}
