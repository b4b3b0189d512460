//! Tells people that somebody has to log in, and where.

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::Health;
use tracing::warn;

use super::{Logins, Reply};
use crate::api;
use crate::api::problem::Problem;
use crate::api::requests::{Begun, Redirect};
use crate::clock;
use crate::config::{GrantConfig, RedirectUri, TokenConfig};
use crate::daemon::shell::Shell;
use crate::sink::Notice;

/// Who wants to know how a login begins.
pub(super) enum Asker {
    /// Everybody, by the command that the configuration names.
    Everybody(Notice),
    /// Somebody at the socket.
    Person(Reply<Begun>),
}

impl Shell {
    /// Has people told that somebody has to log in. Where any browser will do, the login begins now, so that
    /// they are told its address.
    pub(in crate::daemon) fn tell(
        &mut self,
        now: Instant,
        name: &TokenName,
        until: Option<Instant>,
    ) {
        let (Some(entry), Some(status)) = (self.tokens.get(name), self.scheduler.status(name))
        else {
            return;
        };
        if self.logins.notifier.is_none() {
            return;
        }
        let token = entry.config();
        let until = until.map(|until| clock::unix_now().saturating_add(until - now).as_secs());
        let needed = matches!(status.health, Health::Failing { .. });
        let notice = Notice {
            token: name.clone(),
            state: if needed { "needs_login" } else { "fresh" },
            reason: api::problem::reason(status.health).unwrap_or("login_due"),
            until,
            url: None,
            user_code: None,
        };
        if any_browser_will_do(&token) {
            self.begin_login(name, None, Asker::Everybody(notice));
        } else {
            self.logins.notify(notice);
        }
    }
}

impl Logins {
    pub(super) fn answer(&self, asker: Asker, answer: Result<Begun, Problem>) {
        match asker {
            // Whoever has gone need not hear of it.
            Asker::Person(reply) => drop(reply.send(answer)),
            // That no login can begin now is no reason to say nothing.
            Asker::Everybody(notice) => self.notify(match answer {
                Ok(begun) => with_address(notice, begun),
                Err(_) => notice,
            }),
        }
    }

    fn notify(&self, notice: Notice) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        let name = notice.token.clone();
        if notifier.try_send(notice).is_err() {
            warn!(token = %name, "people are not told: too many notices wait");
        }
    }
}

fn with_address(notice: Notice, begun: Begun) -> Notice {
    match begun {
        Begun::AuthorizationCode {
            url,
            redirect: Redirect::Paste,
            ..
        } => Notice {
            url: Some(url),
            ..notice
        },
        // A browser elsewhere would not come back to this host.
        Begun::AuthorizationCode { .. } => notice,
        Begun::DeviceCode {
            verification_uri,
            verification_uri_complete,
            user_code,
            ..
        } => Notice {
            url: Some(verification_uri_complete.unwrap_or(verification_uri)),
            user_code: Some(user_code),
            ..notice
        },
    }
}

fn any_browser_will_do(token: &TokenConfig) -> bool {
    match &token.grant {
        GrantConfig::AuthorizationCode(grant) => {
            grant.form_login.is_none() && matches!(grant.redirect_uri, RedirectUri::Elsewhere(_))
        }
        GrantConfig::DeviceCode => true,
        _ => false,
    }
}
