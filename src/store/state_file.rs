//! One token's durable record: its bytes, and the way back.
//!
//! Times are kept twice. `CLOCK_BOOTTIME` together with the boot id is exact as long as the machine
//! is not rebooted, whatever happens to the wall clock; the wall clock carries them over a reboot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bearerd_core::credential::{RefreshValidity, TokenName, Validity};
use bearerd_core::instant::Instant;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::moment::Moment;
use super::seal::{OpenError, SealError, Sealed, Sealer};
use crate::token::Token;

/// What is kept of a token across restarts.
#[derive(Clone, Debug)]
pub struct Record {
    /// The token's name.
    pub name: TokenName,
    /// The token's number.
    pub generation: u64,
    /// [`bearerd_core::refresh::Policy::identity`] of the configuration it was obtained under.
    pub identity: [u8; 16],
    /// What the authorization server issued.
    pub token: Arc<Token>,
    /// Whether refreshes do not move the end of the refresh token on.
    pub window_fixed: bool,
    /// When a refresh was begun whose outcome is unknown: the refresh token may be spent.
    pub open_intent: Option<Instant>,
    /// Refresh tokens that were set aside, the oldest first. They are never used again, and kept
    /// for an administrator who has to rescue a login.
    pub quarantined_refresh_tokens: Vec<SecretString>,
}

impl Record {
    /// Moves the refresh token, if there is one, to those set aside; the oldest of more than three
    /// goes.
    pub fn quarantine_refresh_token(&mut self) {
        let mut token = Token::clone(&self.token);
        token.validity.refresh = None;
        if let Some(refresh_token) = token.refresh_token.take() {
            self.quarantined_refresh_tokens.push(refresh_token);
        }
        let excess = self
            .quarantined_refresh_tokens
            .len()
            .saturating_sub(MAX_QUARANTINED);
        self.quarantined_refresh_tokens.drain(..excess);
        self.token = Arc::new(token);
    }
}

/// Why a record's bytes could not be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// The record cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The record cannot be put into JSON.
    #[error("cannot put the record into words")]
    Json,
}

/// Why no record can be made of bytes. It never holds any of the bytes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what was written.
    #[error("it is damaged (line {line}, column {column})")]
    Damaged {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// Another version of bearerd wrote the record.
    #[error("it has format version {0}, this bearerd writes {VERSION}")]
    ForeignVersion(u64),
    /// The file was renamed or copied: the record is another token's.
    #[error("it belongs to another token")]
    OtherToken,
    /// The record is sealed and cannot be opened.
    #[error(transparent)]
    Sealed(#[from] OpenError),
}

/// Makes a record's bytes.
///
/// # Errors
/// [`EncodeError`], which no record is known to cause.
pub fn encode(
    record: &Record,
    sealer: &Sealer,
    moment: &Moment,
) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let stored = Stored::from_record(record, moment);
    // JSON makes six bytes of one at worst. A buffer that never grows leaves no copies behind.
    let capacity = 6 * stored.text_len() + 2048;
    let content = match sealer {
        Sealer::Aes256Gcm(key) => {
            let plain = to_json(&stored, capacity)?;
            Content::Sealed(key.seal(record.name.as_str(), plain)?)
        }
        Sealer::None => Content::Plain(Box::new(stored)),
    };
    let version = VERSION;
    to_json(&Envelope { version, content }, 2 * capacity)
}

/// Makes a record from its bytes, with its times on the present clock.
///
/// Of a record from another boot, the wall clock says how old it is. Where that clock has been set
/// back behind the moment the token was obtained, its age is unknown: the access token counts as
/// expired, and the refresh token is kept for at most its whole lifetime from now, since trying it
/// costs one request.
///
/// # Errors
/// [`DecodeError`] for anything but what [`encode`] made for this name.
pub fn decode(
    name: &TokenName,
    bytes: &[u8],
    sealer: &Sealer,
    moment: &Moment,
) -> Result<Record, DecodeError> {
    let AnyVersion { version } = from_json(bytes)?;
    if version != VERSION {
        return Err(DecodeError::ForeignVersion(version));
    }
    let envelope: Envelope = from_json(bytes)?;
    let bound = name.as_str();
    let stored = match (envelope.content, sealer) {
        (Content::Plain(stored), _) => *stored,
        (Content::Sealed(sealed), Sealer::Aes256Gcm(key)) => from_json(&key.open(bound, &sealed)?)?,
        (Content::Sealed(_), Sealer::None) => return Err(OpenError::NoKey.into()),
    };
    if stored.name != name.as_str() {
        return Err(DecodeError::OtherToken);
    }
    Ok(stored.into_record(name.clone(), moment))
}

#[derive(Deserialize)]
struct AnyVersion {
    version: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    version: u64,
    content: Content,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Plain(Box<Stored>),
    Sealed(Sealed),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    generation: u64,
    identity: [u8; 16],
    boot_id: Option<String>,
    access_token: Wiped,
    token_type: String,
    scope: Option<String>,
    id_token: Option<Wiped>,
    refresh_token: Option<Wiped>,
    obtained: Time,
    expires: Time,
    refresh: Option<StoredRefresh>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token_expires: Option<Time>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    window_fixed: bool,
    open_intent: Option<Time>,
    quarantined_refresh_tokens: Vec<Wiped>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredRefresh {
    expires: Option<Time>,
}

/// One instant on both clocks.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Time {
    boottime: Duration,
    unix: Duration,
}

/// A secret on its way to or from JSON.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Wiped(String);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&SecretString> for Wiped {
    fn from(secret: &SecretString) -> Self {
        Self(secret.expose_secret().to_owned())
    }
}

impl From<&Wiped> for SecretString {
    fn from(wiped: &Wiped) -> Self {
        Self::from(wiped.0.as_str())
    }
}

impl fmt::Debug for Wiped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[wiped]")
    }
}

impl Stored {
    fn from_record(record: &Record, moment: &Moment) -> Self {
        let token = &record.token;
        let time = |at: Instant| Time {
            boottime: at.elapsed_since_boot(),
            unix: if at >= moment.now {
                moment.unix_now.saturating_add(at - moment.now)
            } else {
                moment.unix_now.saturating_sub(moment.now - at)
            },
        };
        Self {
            name: record.name.as_str().to_owned(),
            generation: record.generation,
            identity: record.identity,
            boot_id: moment.boot.0.clone(),
            access_token: Wiped::from(&token.access_token),
            token_type: token.token_type.clone(),
            scope: token.scope.clone(),
            id_token: token.id_token.as_ref().map(Wiped::from),
            refresh_token: token.refresh_token.as_ref().map(Wiped::from),
            obtained: time(token.validity.obtained_at),
            expires: time(token.validity.expires_at),
            refresh: token.validity.refresh.map(|refresh| StoredRefresh {
                expires: refresh.expires_at.map(time),
            }),
            id_token_expires: token.validity.id_token_expires_at.map(time),
            window_fixed: record.window_fixed,
            open_intent: record.open_intent.map(time),
            quarantined_refresh_tokens: record
                .quarantined_refresh_tokens
                .iter()
                .map(Wiped::from)
                .collect(),
        }
    }

    fn text_len(&self) -> usize {
        let optional = [&self.id_token, &self.refresh_token];
        self.access_token.0.len()
            + self.token_type.len()
            + self.scope.as_ref().map_or(0, String::len)
            + optional
                .into_iter()
                .flatten()
                .map(|s| s.0.len())
                .sum::<usize>()
            + self
                .quarantined_refresh_tokens
                .iter()
                .map(|s| s.0.len())
                .sum::<usize>()
    }

    fn into_record(self, name: TokenName, moment: &Moment) -> Record {
        let restored = Restored::new(&self, moment);
        let token = Token {
            access_token: SecretString::from(&self.access_token),
            token_type: self.token_type,
            scope: self.scope,
            id_token: self.id_token.as_ref().map(SecretString::from),
            refresh_token: self.refresh_token.as_ref().map(SecretString::from),
            validity: Validity {
                obtained_at: restored.access(self.obtained),
                expires_at: restored.access(self.expires),
                refresh: self.refresh.map(|refresh| RefreshValidity {
                    expires_at: refresh.expires.map(|at| restored.refresh(at)),
                }),
                id_token_expires_at: self.id_token_expires.map(|at| restored.access(at)),
            },
        };
        Record {
            name,
            generation: self.generation,
            identity: self.identity,
            token: Arc::new(token),
            window_fixed: self.window_fixed,
            open_intent: self.open_intent.map(|at| restored.access(at)),
            quarantined_refresh_tokens: self
                .quarantined_refresh_tokens
                .iter()
                .map(SecretString::from)
                .collect(),
        }
    }
}

/// How stored times are put on the present clock.
enum Restored<'a> {
    /// The record is of this boot.
    Boottime,
    /// The record is of another boot.
    Wall(&'a Moment),
    /// The record is of another boot, and by the wall clock the token was obtained in the future.
    SetBack { now: Instant, obtained: Duration },
}

impl<'a> Restored<'a> {
    fn new(stored: &Stored, moment: &'a Moment) -> Self {
        let same_boot = stored.boot_id.is_some() && stored.boot_id == moment.boot.0;
        // A boottime that is still to come cannot be this boot's, whatever the id says: containers
        // may have their own (`time_namespaces(7)`).
        if same_boot && Instant::since_boot(stored.obtained.boottime) <= moment.now {
            Self::Boottime
        } else if stored.obtained.unix <= moment.unix_now {
            Self::Wall(moment)
        } else {
            Self::SetBack {
                now: moment.now,
                obtained: stored.obtained.unix,
            }
        }
    }

    fn access(&self, time: Time) -> Instant {
        match self {
            Self::Boottime => Instant::since_boot(time.boottime),
            Self::Wall(at) if time.unix >= at.unix_now => at.now + (time.unix - at.unix_now),
            Self::Wall(at) => at.now.saturating_sub(at.unix_now - time.unix),
            Self::SetBack { .. } => Instant::BOOT,
        }
    }

    fn refresh(&self, time: Time) -> Instant {
        match self {
            Self::SetBack { now, obtained } => *now + time.unix.saturating_sub(*obtained),
            Self::Boottime | Self::Wall(_) => self.access(time),
        }
    }
}

fn to_json<T: Serialize>(value: &T, capacity: usize) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let mut json = Zeroizing::new(Vec::with_capacity(capacity));
    serde_json::to_writer(&mut *json, value).map_err(|_| EncodeError::Json)?;
    Ok(json)
}

/// The parser's own message is left out: it quotes what it found.
fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|e| DecodeError::Damaged {
        line: e.line(),
        column: e.column(),
    })
}

const VERSION: u64 = 1;

const MAX_QUARANTINED: usize = 3;
