//! The cookies of one login (RFC 6265). Pure.
//!
//! A cookie goes back to the host that set it and to no other: `Domain` is not followed. `Secure`
//! changes nothing, as a login goes nowhere without TLS but on loopback.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The cookies of one login.
#[derive(Default)]
pub(super) struct Cookies(Vec<Cookie>);

struct Cookie {
    host: String,
    path: String,
    name: String,
    value: SecretString,
}

impl Cookies {
    /// Takes over what an answer from `url` sets in one `Set-Cookie`; what is no cookie, or too
    /// many of them, is ignored.
    pub(super) fn set(&mut self, url: &Url, header: &str) {
        let mut parts = header.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let attributes: Vec<(&str, &str)> = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .collect();
        let attribute = |wanted: &str| {
            let mut found = attributes.iter().rev();
            let found = found.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim())
        };
        let path = attribute("path").filter(|path| path.starts_with('/'));
        let cookie = Cookie {
            host: url.host_str().unwrap_or_default().to_owned(),
            path: path.unwrap_or_else(|| default_path(url)).to_owned(),
            name: name.trim().to_owned(),
            value: value.trim().into(),
        };
        let same = |held: &Cookie| {
            (&held.host, &held.path, &held.name) == (&cookie.host, &cookie.path, &cookie.name)
        };
        self.0.retain(|held| !same(held));
        let ends = attribute("max-age").and_then(|age| age.parse::<i64>().ok());
        let gone = ends.is_some_and(|age| age <= 0) || value.trim().is_empty();
        if !gone && !cookie.name.is_empty() && header.len() <= MAX_SIZE && self.0.len() < MAX_COUNT
        {
            self.0.push(cookie);
        }
    }

    /// The `Cookie` header for a request to `url`, if any cookie goes there (RFC 6265 section 5.4).
    pub(super) fn header(&self, url: &Url) -> Option<SecretString> {
        let host = url.host_str().unwrap_or_default();
        let goes = |cookie: &&Cookie| cookie.host == host && reaches(&cookie.path, url.path());
        let mut cookies: Vec<&Cookie> = self.0.iter().filter(goes).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = cookies
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value.expose_secret()))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; ").into())
    }
}

/// RFC 6265 section 5.1.4.
fn default_path(url: &Url) -> &str {
    match url.path().rfind('/') {
        None | Some(0) => "/",
        Some(end) => &url.path()[..end],
    }
}

fn reaches(cookie: &str, path: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

const MAX_COUNT: usize = 50;
const MAX_SIZE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: &[(&str, &str)], to: &str) -> String {
        let mut cookies = Cookies::default();
        for (url, header) in set {
            cookies.set(&url.parse().unwrap(), header);
        }
        let header = cookies.header(&to.parse().unwrap());
        header.map_or(String::new(), |header| header.expose_secret().to_owned())
    }

    #[test]
    fn cookies_go_where_they_came_from() {
        let page = "https://op.example/realms/r/auth?x=1";
        for (header, to, expected) in [
            ("a=1", "https://op.example/realms/r/login", "a=1"),
            ("a=1", "https://op.example/realms/r", "a=1"),
            ("a=1", "https://op.example/realms/rr", ""),
            ("a=1", "https://op.example/", ""),
            (
                "a=1; Path=/; Secure; HttpOnly",
                "https://op.example/",
                "a=1",
            ),
            ("a=1; path=/realms/", "https://op.example/realms/x", "a=1"),
            ("a=1; Path=nowhere", "https://op.example/realms/r/x", "a=1"),
            ("a=1; Path=/; Domain=example", "https://other.example/", ""),
            ("a=1=2; Path=/", "https://op.example/", "a=1=2"),
            ("=1; Path=/", "https://op.example/", ""),
            ("a; Path=/", "https://op.example/", ""),
        ] {
            assert_eq!(sent(&[(page, header)], to), expected, "{header} to {to}");
        }
    }

    #[test]
    fn later_cookies_replace_earlier_ones() {
        let url = "https://op.example/a/b";
        let both = [(url, "a=1"), (url, "a=2"), (url, "b=3; Path=/")];
        assert_eq!(sent(&both, url), "a=2; b=3");
        let removed = [(url, "a=1"), (url, "a=x; Max-Age=0")];
        assert_eq!(sent(&removed, url), "");
        let emptied = [(url, "a=1"), (url, "a=; Path=/a")];
        assert_eq!(sent(&emptied, url), "");
    }

    #[test]
    fn there_is_an_end_to_cookies() {
        let url: Url = "https://op.example/".parse().unwrap();
        let mut cookies = Cookies::default();
        for number in 0..1000 {
            cookies.set(&url, &format!("c{number}=x"));
        }
        cookies.set(&url, &format!("long={}", "x".repeat(5000)));
        assert_eq!(cookies.0.len(), MAX_COUNT);
    }
}
