//! What STS answers: JSON, as it is asked for, or XML, as some implementations always answer.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// AWS keys that expire.
pub(super) struct Keys {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretString,
    pub(super) session_token: SecretString,
    pub(super) expiration: Timestamp,
}

/// STS's own words for why it gives no keys.
#[derive(Debug)]
pub(in crate::cli) struct Refusal {
    pub(super) code: String,
    message: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

/// Reads the keys of an answer with status 200.
pub(super) fn keys(body: &[u8]) -> Option<Keys> {
    let text = std::str::from_utf8(body).ok()?;
    let json = serde_json::from_str::<Value>(text).ok();
    let credentials = match &json {
        Some(json) => {
            let response = &json["AssumeRoleWithWebIdentityResponse"];
            Part::Json(&response["AssumeRoleWithWebIdentityResult"]["Credentials"])
        }
        None => Part::Xml(element(text, "Credentials")?),
    };
    let word = |name| {
        let word = credentials.text(name)?;
        let graphic = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
        graphic.then_some(word)
    };
    Some(Keys {
        access_key_id: word("AccessKeyId")?,
        secret_access_key: word("SecretAccessKey")?.into(),
        session_token: word("SessionToken")?.into(),
        expiration: credentials.time("Expiration")?,
    })
}

/// Reads the error of any other answer. A message that repeats the token is left out.
pub(super) fn refusal(body: &[u8], token: &SecretString) -> Option<Refusal> {
    let text = std::str::from_utf8(body).ok()?;
    let json = serde_json::from_str::<Value>(text).ok();
    let error = match &json {
        Some(json) => Part::Json(&json["Error"]),
        None => Part::Xml(element(text, "Error")?),
    };
    let code = error.text("Code")?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if code.is_empty() || code.len() > MAX_CODE || !code.chars().all(word) {
        return None;
    }
    let message = error.text("Message").filter(|message| {
        let repeats = message.contains(token.expose_secret());
        !message.trim().is_empty() && !repeats
    });
    let message = message.map(|message| message.trim().chars().take(MAX_MESSAGE).collect());
    Some(Refusal { code, message })
}

/// A part of an answer.
enum Part<'a> {
    Json(&'a Value),
    Xml(&'a str),
}

impl Part<'_> {
    fn text(&self, name: &str) -> Option<String> {
        match self {
            Self::Json(object) => object[name].as_str().map(str::to_owned),
            Self::Xml(xml) => Some(unescaped(element(xml, name)?)),
        }
    }

    /// Reads a time. AWS writes seconds since the epoch in JSON, and RFC 3339 in XML.
    fn time(&self, name: &str) -> Option<Timestamp> {
        if let Self::Json(object) = self
            && let Some(seconds) = object[name].as_f64()
        {
            let since_epoch = Duration::try_from_secs_f64(seconds).ok()?.as_secs();
            return Timestamp::from_second(since_epoch.try_into().ok()?).ok();
        }
        self.text(name)?.parse().ok()
    }
}

/// Returns the content of the first element of this name. STS gives its elements no attributes.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

fn unescaped(xml: &str) -> String {
    let mut text = xml.to_owned();
    // The ampersand comes last, so that it makes no new entities.
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#43;", "+"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<AssumeRoleWithWebIdentityResponse \
        xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA1</AccessKeyId>\
        <SecretAccessKey>a/b+c</SecretAccessKey><SessionToken>t&#43;t&amp;lt;==</SessionToken>\
        <Expiration>2026-11-25T04:00:00Z</Expiration></Credentials>\
        </AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";

    fn json(expiration: &str) -> String {
        format!(
            r#"{{"AssumeRoleWithWebIdentityResponse":{{"AssumeRoleWithWebIdentityResult":
            {{"Credentials":{{"AccessKeyId":"ASIA1","SecretAccessKey":"s","SessionToken":"t",
            "Expiration":{expiration}}}}}}}}}"#
        )
    }

    #[test]
    fn keys_of_both_kinds_of_answer() {
        let xml = keys(XML.as_bytes()).unwrap();
        assert_eq!(xml.access_key_id, "ASIA1");
        assert_eq!(xml.secret_access_key.expose_secret(), "a/b+c");
        assert_eq!(xml.session_token.expose_secret(), "t+t&lt;==");
        assert_eq!(xml.expiration.to_string(), "2026-11-25T04:00:00Z");
        for (written, expected) in [
            ("1.7640432E9", "2025-11-25T04:00:00Z"),
            ("1764043200", "2025-11-25T04:00:00Z"),
            ("\"2026-11-25T04:00:00Z\"", "2026-11-25T04:00:00Z"),
        ] {
            let keys = keys(json(written).as_bytes()).unwrap();
            assert_eq!(keys.expiration.to_string(), expected);
        }
        for bad in ["null", "-1", "1e300", "\"soon\"", "{}"] {
            assert!(keys(json(bad).as_bytes()).is_none(), "{bad}");
        }
        let control = json("1").replace("\"t\"", r#""t\n""#);
        for bad in ["", "{}", "<html>", "[]", &XML[..XML.len() / 2], &control] {
            assert!(keys(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn refusals_of_both_kinds() {
        let token = SecretString::from("canary");
        let of = |body: &str| refusal(body.as_bytes(), &token).map(|r| r.to_string());
        let json = |code: &str, message: &str| {
            format!(r#"{{"Error":{{"Code":"{code}","Message":"{message}","Type":"Sender"}}}}"#)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&json("AccessDenied", "No.")), some("AccessDenied: No."));
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>\
                   <Message>No &quot;x&quot;</Message></Error></ErrorResponse>";
        assert_eq!(of(xml), some("InvalidIdentityToken: No \"x\""));
        assert_eq!(of(&json("X", "bad canary")), some("X"));
        assert_eq!(of(&json("X", &"m".repeat(1000))).unwrap().len(), 303);
        for bad in [
            "",
            "<html>",
            "{}",
            &json("a b", ""),
            &json("", "x"),
            &json(&"x".repeat(65), ""),
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
