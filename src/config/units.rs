//! Values of one key each, checked as they are read: texts, durations, URLs, paths, names.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use toml::de::DeValue;
use url::{Host, Url};

use super::keys::{Field, closest};

/// An absolute `https` URL, or `http` to a loopback address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpsUrl {
    /// The text as configured.
    pub text: String,
    /// The parsed URL.
    pub url: Url,
}

/// Reads a JSON pointer (RFC 6901) to something within a document.
pub(super) fn pointer(field: Field<'_>) -> Option<String> {
    let pointer = text(field)?;
    match pointer.starts_with('/') {
        true => Some(pointer),
        false => field.must_be(
            "a JSON pointer (RFC 6901)",
            "it begins with `/`, such as `/data/token`",
        ),
    }
}

/// Reads a string that is not empty and has no control characters.
pub(super) fn text(field: Field<'_>) -> Option<String> {
    let text = field.str("a string", "")?;
    if text.is_empty() || text.contains(char::is_control) {
        return field.must_be("text that is not empty and has no control characters", "");
    }
    Some(text.to_owned())
}

/// Reads a list of strings.
pub(super) fn texts(field: Field<'_>) -> Option<Vec<String>> {
    let hint = format!("write `{} = [\"…\"]`", field.key);
    all(field.elements("a list of strings", &hint)?, text)
}

/// Reads a string or a list of strings.
pub(super) fn text_or_texts(field: Field<'_>) -> Option<Vec<String>> {
    match field.value() {
        DeValue::String(_) => Some(vec![text(field)?]),
        DeValue::Array(_) => texts(field),
        _ => field.wrong_type("a string or a list of strings", ""),
    }
}

/// Reads every element before it gives up, so that every mistake is found.
pub(super) fn all<'a, T>(
    fields: Vec<Field<'a>>,
    read: impl FnMut(Field<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = fields.into_iter().map(read).collect();
    read.into_iter().collect()
}

/// Reads `scope` (RFC 6749 section 3.3): a list with one scope to an element.
pub(super) fn scope(field: Field<'_>) -> Option<Vec<String>> {
    let elements = field.elements(
        "a list of strings",
        "one scope to an element: `scope = [\"openid\", \"profile\"]`",
    )?;
    all(elements, |element| {
        let scope = element.str("a string", "")?;
        let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if !scope.is_empty() && scope.bytes().all(allowed) {
            Some(scope.to_owned())
        } else if scope.contains(' ') {
            element.refuse(
                "a scope has no space in it",
                "one scope to an element: `scope = [\"openid\", \"profile\"]`",
            )
        } else {
            element.refuse(
                "a scope is printable ASCII without `\"` and `\\` (RFC 6749 section 3.3)",
                "",
            )
        }
    })
}

/// Reads `resource`: absolute URIs without fragment (RFC 8707 section 2).
pub(super) fn resource(field: Field<'_>) -> Option<Vec<String>> {
    let resources = text_or_texts(field)?;
    let absolute = |text: &String| Url::parse(text).is_ok() && !text.contains('#');
    if !resources.iter().all(absolute) {
        return field.must_be("an absolute URI without fragment (RFC 8707)", "");
    }
    Some(resources)
}

/// Reads `true` or `false`.
pub(super) fn boolean(field: Field<'_>) -> Option<bool> {
    match field.value() {
        DeValue::Boolean(value) => Some(*value),
        _ => field.wrong_type("`true` or `false`", ""),
    }
}

/// Reads a whole number that is 1 or more.
pub(super) fn count(field: Field<'_>) -> Option<u32> {
    let DeValue::Integer(number) = field.value() else {
        return field.wrong_type("a whole number", "");
    };
    match u32::from_str_radix(number.as_str(), number.radix()) {
        Ok(count) if count > 0 => Some(count),
        _ => field.must_be("a whole number above 0", ""),
    }
}

/// Reads a duration above zero, with a unit.
pub(super) fn duration(field: Field<'_>) -> Option<Duration> {
    let what = "a duration in quotes, such as \"30s\", \"5m\", \"1h30m\" or \"1d\"";
    let hint = match field.value() {
        DeValue::Integer(number) if number.radix() == 10 => {
            format!("write a unit: `{} = \"{}s\"`", field.key, number.as_str())
        }
        _ => String::new(),
    };
    let text = field.str(what, &hint)?;
    let parsed = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    match parsed.map(Duration::try_from) {
        Ok(Ok(duration)) if !duration.is_zero() => Some(duration),
        Ok(_) => field.must_be("above zero", ""),
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            field.must_be(what, &format!("write a unit: \"{text}s\""))
        }
        Err(_) => field.must_be(what, "the units are ms, s, m, h and d"),
    }
}

/// Reads a duration within a range. An error calls the range `bounds`.
pub(super) fn duration_within(
    field: Field<'_>,
    range: &RangeInclusive<Duration>,
    bounds: &str,
) -> Option<Duration> {
    let duration = duration(field)?;
    if range.contains(&duration) {
        Some(duration)
    } else {
        field.must_be(bounds, "")
    }
}

/// Reads how long connecting or one request may take.
pub(super) fn timeout(field: Field<'_>) -> Option<Duration> {
    let range = Duration::from_millis(1)..=Duration::from_secs(3600);
    duration_within(field, &range, "between 1ms and 1h")
}

/// Reads an absolute path without `..`.
pub(super) fn path(field: Field<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(text(field)?);
    if !path.is_absolute() {
        return field.must_be("an absolute path", "it begins with `/`");
    }
    if path.components().any(|c| c.as_os_str() == "..") {
        return field.must_be("a path without `..`", "");
    }
    Some(path)
}

/// Reads the path of a file.
pub(super) fn file_path(field: Field<'_>) -> Option<PathBuf> {
    let path = path(field)?;
    if field.str("", "")?.ends_with('/') {
        return field.must_be("the path of a file, not of a directory", "");
    }
    Some(path)
}

/// Reads an `https` URL, or `http` to a loopback address (RFC 6749 section 3.2 wants TLS; loopback
/// needs none).
pub(super) fn https_url(field: Field<'_>) -> Option<HttpsUrl> {
    let text = field.str("a URL", "")?;
    let url = absolute_url(field, text)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => {
            let hint = "`http` is for loopback addresses only: secrets would travel in the clear";
            return field.must_be("an https URL", hint);
        }
        _ => return field.must_be("an https URL", ""),
    }
    Some(HttpsUrl {
        text: text.to_owned(),
        url,
    })
}

/// Reads a proxy's URL.
pub(super) fn proxy_url(field: Field<'_>) -> Option<Url> {
    let url = absolute_url(field, field.str("a URL", "")?)?;
    match url.scheme() {
        "http" | "https" if matches!(url.path(), "" | "/") && url.query().is_none() => Some(url),
        _ => field.must_be(
            "a proxy's URL such as \"http://proxy.example.org:3128\"",
            "http and https proxies are supported",
        ),
    }
}

fn absolute_url(field: Field<'_>, text: &str) -> Option<Url> {
    // The parser would drop blanks and encode other characters; the text is used byte for byte.
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return field.must_be(
            "a URL of printable ASCII without spaces",
            "other characters are percent-encoded, or punycode in a host's name",
        );
    }
    let url = match Url::parse(text) {
        Ok(url) if url.has_host() => url,
        Ok(_) => return field.must_be("a URL with a host, such as \"https://…\"", ""),
        Err(e) => return field.must_be(format!("a URL such as \"https://…\" ({e})"), ""),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return field.must_be("a URL without user name and password", "");
    }
    if url.fragment().is_some() {
        return field.must_be("a URL without fragment (`#…`)", "");
    }
    Some(url)
}

/// Reads an environment variable's name.
pub(super) fn variable(field: Field<'_>) -> Option<String> {
    let name = field.str("a variable's name", "")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(allowed)
    {
        return field.must_be(
            "a variable's name: letters, digits and `_`, not beginning with a digit",
            "",
        );
    }
    Some(name.to_owned())
}

/// Reads a program and its arguments.
pub(super) fn command(field: Field<'_>) -> Option<Vec<String>> {
    if let DeValue::String(_) = field.value() {
        return field.wrong_type("a list of strings", COMMAND_HINT);
    }
    let argv = texts(field)?;
    if argv.is_empty() {
        return field.must_be("the program and its arguments", COMMAND_HINT);
    }
    Some(argv)
}

/// Reads one of a few names.
pub(super) fn one_of<T: Copy>(field: Field<'_>, choices: &[(&str, T)]) -> Option<T> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let what = format!("one of {}", names.join(", "));
    let text = field.str(&what, "")?;
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
        return Some(*choice);
    }
    match closest(text, &names) {
        Some(close) => field.must_be(what, &format!("did you mean \"{close}\"?")),
        None => field.must_be(what, ""),
    }
}

pub(super) const COMMAND_HINT: &str =
    "no shell is used: `command = [\"/path/of/program\", \"argument\"]`";
