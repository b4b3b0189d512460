//! Tells people that somebody has to log in, and where.

use bearerd_core::credential::TokenName;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{Health, Status};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::api;
use crate::api::problem::Problem;
use crate::api::requests::{Begun, Redirect};
use crate::clock;
use crate::config::{GrantConfig, RedirectUri, TokenConfig};
use crate::sink::Notice;

/// Somebody at the socket who waits for an answer.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Problem>>;

/// Who wants to know how a login begins.
pub(super) enum Asker {
    /// Everybody, by the command that the configuration names.
    Everybody(Notice),
    /// Somebody at the socket, who is answered there.
    Person(Reply<Begun>),
}

/// The command that tells people, if the configuration names one.
pub(super) struct Notifier(Option<mpsc::Sender<Notice>>);

impl Notifier {
    pub(super) fn new(notices: Option<mpsc::Sender<Notice>>) -> Self {
        Self(notices)
    }

    /// Whether nobody is told anything.
    pub(super) fn is_silent(&self) -> bool {
        self.0.is_none()
    }

    /// Answers whoever asked how a login begins.
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

    /// Has people told.
    pub(super) fn notify(&self, notice: Notice) {
        let Some(notices) = &self.0 else {
            return;
        };
        let name = notice.token.clone();
        if notices.try_send(notice).is_err() {
            warn!(token = %name, "people are not told: too many notices wait");
        }
    }
}

/// What people are told of a token that stands so: until when what is held still works, if it does.
pub(super) fn notice(
    now: Instant,
    name: &TokenName,
    status: Status,
    until: Option<Instant>,
) -> Notice {
    let until = until.map(|until| clock::unix_now().saturating_add(until - now).as_secs());
    let needed = matches!(status.health, Health::Failing { .. });
    Notice {
        token: name.clone(),
        state: if needed { "needs_login" } else { "fresh" },
        reason: api::problem::reason(status.health).unwrap_or("login_due"),
        until,
        url: None,
        user_code: None,
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

/// Whether a login can be completed from any browser, so that people can be told its address.
pub(super) fn any_browser_will_do(token: &TokenConfig) -> bool {
    match &token.grant {
        GrantConfig::AuthorizationCode(grant) => {
            grant.form_login.is_none() && matches!(grant.redirect_uri, RedirectUri::Elsewhere(_))
        }
        GrantConfig::DeviceCode => true,
        GrantConfig::ClientCredentials
        | GrantConfig::Command(_)
        | GrantConfig::Http(_)
        | GrantConfig::JwtBearer(_)
        | GrantConfig::Password { .. }
        | GrantConfig::RefreshToken { .. }
        | GrantConfig::TokenExchange(_) => false,
    }
}
