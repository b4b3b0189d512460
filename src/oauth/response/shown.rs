//! What is shown of a server's text.

use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

/// Makes a server's text fit to be shown: without our secrets, in the characters RFC 6749 section
/// 5.2 allows (and letters beyond ASCII), each run of others as one space, and not longer than
/// `limit`.
pub(in crate::oauth) fn shown(
    text: &str,
    secrets: &[&SecretString],
    limit: usize,
) -> Option<String> {
    let mut text = text.to_owned();
    for secret in secrets {
        let secret = secret.expose_secret();
        // A very short secret would take apart ordinary words, and give itself away by it.
        if secret.len() >= 4 {
            let in_form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            text = text.replace(secret, "[redacted]");
            text = text.replace(&in_form, "[redacted]");
        }
    }
    let allowed = |c: char| match c {
        '"' | '\\' => false,
        ' '..='~' => true,
        _ => c.is_alphanumeric(),
    };
    let words: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { ' ' })
        .collect();
    let mut shown = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = shown.char_indices().nth(limit) {
        shown.truncate(end);
    }
    (!shown.is_empty()).then_some(shown)
}
