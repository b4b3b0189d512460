//! The compact form of a signed JSON object (RFC 7515 section 3.1), read strictly.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{IdTokenError, Part, shown};
use crate::config::SignatureAlg;
use crate::oauth::provider::key_set;

/// A token taken apart, not verified.
pub(super) struct Jws<'a> {
    /// What the signature is over: header and payload as they came.
    pub(super) signed: &'a str,
    /// Canonical base64url.
    pub(super) signature: &'a str,
    header: Vec<u8>,
    payload: Vec<u8>,
}

/// The parameters of the JOSE header that count. A key or the address of one (`jwk`, `jku`, `x5c`,
/// `x5u`) does not: whoever forges a token would bring his own (RFC 8725 section 3.10).
pub(super) struct Header {
    pub(super) alg: SignatureAlg,
    pub(super) kid: Option<String>,
}

impl<'a> Jws<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, IdTokenError> {
        if token.len() > MAX_TOKEN {
            return Err(IdTokenError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(IdTokenError::NotThreeParts)?;
        let (header, payload) = signed.split_once('.').ok_or(IdTokenError::NotThreeParts)?;
        if payload.contains('.') {
            return Err(IdTokenError::NotThreeParts);
        }
        // Without padding, white space and stray bits: one token has one spelling.
        let decode = |part, text| {
            URL_SAFE_NO_PAD
                .decode(text)
                .map_err(|_| IdTokenError::Encoding(part))
        };
        decode(Part::Signature, signature)?;
        Ok(Self {
            header: decode(Part::Header, header)?,
            payload: decode(Part::Payload, payload)?,
            signed,
            signature,
        })
    }

    pub(super) fn header(&self) -> Result<Header, IdTokenError> {
        let members = object(Part::Header, &self.header)?;
        let text = |name| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(IdTokenError::Header(name)),
        };
        let alg = text("alg")?.ok_or(IdTokenError::Header("alg"))?;
        let alg = key_set::algorithm(alg).ok_or_else(|| IdTokenError::Algorithm(shown(alg)))?;
        // RFC 7515 section 4.1.11, RFC 7797 section 3.
        if let Some(name) = ["crit", "b64"]
            .into_iter()
            .find(|n| members.contains_key(*n))
        {
            return Err(IdTokenError::Extension(name));
        }
        match text("typ")? {
            Some(typ) if !is_jwt(typ) => Err(IdTokenError::Type(shown(typ))),
            _ => Ok(Header {
                alg,
                kid: text("kid")?.map(str::to_owned),
            }),
        }
    }

    pub(super) fn claims(&self) -> Result<Map<String, Value>, IdTokenError> {
        object(Part::Payload, &self.payload)
    }
}

/// Whether `typ` leaves it open what kind of JWT it is. RFC 7519 section 5.1; media types may be
/// written without `application/` and in any case (RFC 7515 section 4.1.9).
fn is_jwt(typ: &str) -> bool {
    ["JWT", "application/jwt"]
        .iter()
        .any(|jwt| typ.eq_ignore_ascii_case(jwt))
}

fn object(part: Part, json: &[u8]) -> Result<Map<String, Value>, IdTokenError> {
    match serde_json::from_slice(json) {
        Ok(Unique(Value::Object(members))) => Ok(members),
        // Any JSON is taken but for what `Unique` objects to.
        Err(error) if error.is_data() => Err(IdTokenError::Duplicate(part)),
        _ => Err(IdTokenError::NotAnObject(part)),
    }
}

/// JSON in which no object has a member twice, at any depth (RFC 7515 section 4, RFC 8725 section
/// 2.4).
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unique(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// More is no ID token.
const MAX_TOKEN: usize = 64 * 1024;
