//! `[[token.NAME.file]]`: a file that holds a token.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::de::DeValue;

use super::format::FileFormat;
use super::keys::{Field, Keys};
use super::references::{HeaderValue, headers};
use super::units::{file_path, one_of};

/// `[[token.NAME.file]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileConfig {
    /// The absolute path of the file.
    pub path: PathBuf,
    /// What is written.
    pub format: FileFormat,
    /// Further headers, for `headers` and `curl`.
    pub headers: BTreeMap<String, HeaderValue>,
    /// The client certificate that the API wants, for `curl`.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
    /// Numeric owner, resolved from a name or id.
    pub owner: Option<u32>,
    /// Numeric group, resolved from a name or id.
    pub group: Option<u32>,
    /// Permission bits. The default is 0600.
    pub mode: u32,
    /// What becomes of the file when the token expires without a replacement.
    pub on_expiry: OnExpiry,
}

impl FileConfig {
    /// A file with everything else at its default.
    #[must_use]
    pub fn new(path: PathBuf, format: FileFormat) -> Self {
        Self {
            path,
            format,
            headers: BTreeMap::new(),
            cert: None,
            key: None,
            owner: None,
            group: None,
            mode: 0o600,
            on_expiry: OnExpiry::Keep,
        }
    }
}

/// What becomes of a file when its token expires without a replacement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnExpiry {
    /// The file stays.
    Keep,
    /// The file is removed.
    Remove,
}

/// Reads one file.
pub(super) fn file(field: Field<'_>) -> Option<FileConfig> {
    let mut keys = field.keys()?;
    let path = keys.required(
        "path",
        "such as `path = \"/run/bearerd/tokens/NAME\"`",
        file_path,
    );
    let format = FileFormat::read(&mut keys);
    let headers = keys.optional("headers", headers);
    let cert = keys.optional("cert", file_path);
    let key = keys.optional("key", file_path);
    check_key(&keys);
    let owner = keys.optional("owner", owner);
    let group = keys.optional("group", group);
    let mode = keys.optional("mode", mode);
    let on_expiry = keys.optional("on_expiry", |on_expiry| one_of(on_expiry, &ON_EXPIRY));
    keys.finish();
    Some(FileConfig {
        path: path?,
        format: format?,
        headers: headers.unwrap_or_default(),
        cert,
        key,
        owner,
        group,
        mode: mode.unwrap_or(0o600),
        on_expiry: on_expiry.unwrap_or(OnExpiry::Keep),
    })
}

/// A certificate file may hold its key; a key alone is of no use.
fn check_key(keys: &Keys<'_>) {
    if keys.has("key") && !keys.has("cert") {
        let message = format!("`{}` has `key` without `cert`", keys.name);
        keys.refuse(
            "key",
            message,
            "add `cert = \"/etc/bearerd/keys/NAME.crt\"`",
        );
    }
}

/// Reads permission bits as `chmod(1)` writes them, in quotes: a bare 0640 is no TOML, and a bare
/// 640 is decimal.
fn mode(field: Field<'_>) -> Option<u32> {
    let what = "permission bits in quotes, such as \"0640\"";
    let text = field.str(what, "in quotes, because a bare number would be decimal")?;
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode & 0o7000 != 0 => field.must_be(
            "free of setuid, setgid and sticky bits",
            "the first digit is 0",
        ),
        Ok(mode) if octal && mode & 0o002 != 0 => field.must_be(
            "such that others cannot write the file",
            "who can write the file decides which token its readers use",
        ),
        Ok(mode) if octal && mode & 0o111 == 0 && mode & 0o400 != 0 => Some(mode),
        Ok(_) if octal => field.must_be(
            "readable by the owner and executable by nobody",
            "\"0600\", \"0640\" and \"0644\" are usual",
        ),
        _ => field.must_be(what, "three or four octal digits"),
    }
}

/// Reads a user, by name or id.
fn owner(field: Field<'_>) -> Option<u32> {
    id(field, "user", "passwd", |name| {
        field.origin.reading.users.owner(name)
    })
}

/// Reads a group, by name or id.
fn group(field: Field<'_>) -> Option<u32> {
    id(field, "group", "group", |name| {
        field.origin.reading.users.group(name)
    })
}

fn id(
    field: Field<'_>,
    what: &str,
    database: &str,
    lookup: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    let written = match field.value() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::String(text) => text,
        _ => return field.wrong_type(format!("a {what}'s name or id"), ""),
    };
    // The largest id means "leave as it is" to chown(2).
    let numeric = written.parse().ok().filter(|&id: &u32| id != u32::MAX);
    let Some(id) = numeric.or_else(|| lookup(written)) else {
        let hint = format!(
            "`getent {database} NAME` shows its id; \
             /etc/{database} is where bearerd looks for names"
        );
        return field.refuse(format!("there is no {what} `{written}`"), &hint);
    };
    Some(id)
}

const ON_EXPIRY: [(&str, OnExpiry); 2] = [("keep", OnExpiry::Keep), ("remove", OnExpiry::Remove)];
