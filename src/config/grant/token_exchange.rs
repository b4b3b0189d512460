//! `[token.NAME.grant.token_exchange]`: RFC 8693.

use bearerd_core::refresh::{Grant, Part};

use super::super::keys::Keys;
use super::super::references::{TokenRef, platform_token_ref};
use super::super::units::text;
use super::profile::Profile;

/// `[token.NAME.grant.token_exchange]` (RFC 8693 section 2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenExchange {
    /// `subject_token` and `subject_token_type`.
    pub subject: TypedToken,
    /// `actor_token` and `actor_token_type`.
    pub actor: Option<TypedToken>,
    /// `requested_token_type`.
    pub requested_token_type: Option<String>,
}

impl TokenExchange {
    pub(super) fn read(mut keys: Keys<'_>) -> Option<Self> {
        let subject = keys.required("subject_token", SUBJECT_HINT, platform_token_ref);
        let subject_type = keys.optional("subject_token_type", text);
        let actor = keys.optional("actor_token", platform_token_ref);
        let actor_type = keys.optional("actor_token_type", text);
        let requested_token_type = keys.optional("requested_token_type", text);
        if keys.has("actor_token_type") && !keys.has("actor_token") {
            // RFC 8693 section 2.1.
            let hint = "add `actor_token`, or leave it out";
            keys.refuse("actor_token_type", "there is no `actor_token`", hint);
        }
        keys.finish();
        Some(Self {
            subject: TypedToken::new(subject?, subject_type),
            actor: actor.map(|actor| TypedToken::new(actor, actor_type)),
            requested_token_type,
        })
    }

    pub(super) fn profile(&self) -> Profile<'_> {
        let actor = self.actor.as_ref();
        let carried = actor.map(|actor| ("actor_token", &actor.token));
        let texts = [
            &*self.subject.token_type,
            actor.map_or("", |actor| &actor.token_type),
            self.requested_token_type.as_deref().unwrap_or_default(),
        ];
        Profile {
            identity: texts.map(Into::into).into(),
            carried: [("subject_token", &self.subject.token)]
                .into_iter()
                .chain(carried)
                .collect(),
            ..Profile::new("token_exchange", Grant::Exchange)
        }
    }
}

/// A token to be sent along, and the identifier of its type (RFC 8693 section 3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TypedToken {
    /// Where the token is.
    pub token: TokenRef,
    /// `urn:ietf:params:oauth:token-type:…`.
    pub token_type: String,
}

impl TypedToken {
    fn new(token: TokenRef, token_type: Option<String>) -> Self {
        Self {
            token_type: token_type.unwrap_or_else(|| default_type(&token).into()),
            token,
        }
    }
}

/// RFC 8693 section 3. bearerd cannot know what a file holds; most tokens in files are JWTs.
const fn default_type(token: &TokenRef) -> &'static str {
    match token {
        TokenRef::Secret(_) => "urn:ietf:params:oauth:token-type:jwt",
        TokenRef::Token { part, .. } => match part {
            Part::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Part::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Part::RefreshToken => "urn:ietf:params:oauth:token-type:refresh_token",
        },
    }
}

/// The parameters that the grant sets.
pub(super) const PARAMS: &[(&str, &str)] = &[
    ("actor_token", TABLE),
    ("actor_token_type", TABLE),
    ("requested_token_type", TABLE),
    ("subject_token", TABLE),
    ("subject_token_type", TABLE),
];

const SUBJECT_HINT: &str = "write `subject_token = { token = \"NAME\", field = \"id_token\" }`, or \
     `{ file = \"…\" }`";
const TABLE: &str = "set it in `[token.NAME.grant.token_exchange]`";
