//! A token in the formats that its readers want. Only [`Inputs::read`] does I/O; all else is pure.

mod content;
mod error;
mod inputs;
#[cfg(feature = "template")]
mod template;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::config::{FileConfig, FileFormat, Format};

pub use content::Content;
pub use error::FormatError;
pub use inputs::{InputError, Inputs};

/// The bytes of a file.
///
/// # Errors
/// [`FormatError`] when the format cannot hold them.
pub fn render(
    file: &FileConfig,
    content: &Content<'_>,
    inputs: &Inputs,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let access_token = content.token.access_token.expose_secret();
    match &file.format {
        FileFormat::Curl => curl(file, access_token, inputs),
        FileFormat::Env { variable } => env(variable, access_token),
        FileFormat::Headers => headers(access_token, inputs),
        FileFormat::Json => json(content),
        FileFormat::Netrc { machine, login } => netrc(machine, login, access_token),
        FileFormat::Raw => Ok(Zeroizing::new(access_token.as_bytes().to_vec())),
        FileFormat::Template { template } => render_template(template, content, inputs),
    }
}

/// `curl -H @file` (curl 7.55 and later): a header a line.
fn headers(access_token: &str, inputs: &Inputs) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let lines = header_lines(access_token, inputs)?;
    let mut out = buffer(lines.iter().map(|line| line.len() + 1).sum());
    for line in &lines {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    Ok(out)
}

/// `curl -K file`: options, in double quotes (`curl(1)`, `--config`).
fn curl(
    file: &FileConfig,
    access_token: &str,
    inputs: &Inputs,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let lines = header_lines(access_token, inputs)?;
    let paths = [&file.cert, &file.key].into_iter().flatten();
    let paths_len: usize = paths.map(|path| 4 * path.as_os_str().len() + 16).sum();
    let headers_len: usize = lines.iter().map(|line| 2 * line.len() + 16).sum();
    let mut out = buffer(headers_len + paths_len);
    for line in &lines {
        curl_option(&mut out, "header", line);
    }
    if let Some(cert) = &file.cert {
        // A colon would begin the password, and a backslash takes that meaning away.
        let cert = escaped(cert.as_os_str().as_bytes(), b":\\");
        curl_option(&mut out, "cert", &cert);
    }
    if let Some(key) = &file.key {
        curl_option(&mut out, "key", key.as_os_str().as_bytes());
    }
    Ok(out)
}

fn curl_option(out: &mut Vec<u8>, option: &str, value: &[u8]) {
    out.extend_from_slice(option.as_bytes());
    out.extend_from_slice(b" = \"");
    for byte in value {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(b"\"\n");
}

/// `Authorization` and the further headers, none of which can end early and begin another.
///
/// The scheme is always `Bearer` (RFC 6750 section 2.1): servers spell their `token_type` in many
/// ways.
fn header_lines(
    access_token: &str,
    inputs: &Inputs,
) -> Result<Vec<Zeroizing<Vec<u8>>>, FormatError> {
    let authorization = ("Authorization", "Bearer ", access_token);
    let further = inputs.headers.iter();
    let further = further.map(|(name, value)| (name.as_str(), "", value.expose_secret()));
    std::iter::once(authorization)
        .chain(further)
        .map(|(name, scheme, value)| header_line(name, scheme, value))
        .collect()
}

fn header_line(name: &str, scheme: &str, value: &str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let refused = |reason| FormatError::Header {
        name: name.escape_debug().to_string(),
        reason,
    };
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(refused("its name is not a token (RFC 9110 section 5.6.2)"));
    }
    // This copy is dropped unwiped; the check is worth more than that.
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err(refused(
            "its value holds a line break or another control character",
        ));
    }
    let mut line = buffer(name.len() + scheme.len() + value.len() + 2);
    line.extend_from_slice(name.as_bytes());
    if value.is_empty() {
        // curl takes `Name:` as "do not send it", and `Name;` as "send it empty".
        line.push(b';');
    } else {
        line.extend_from_slice(b": ");
        line.extend_from_slice(scheme.as_bytes());
        line.extend_from_slice(value.as_bytes());
    }
    Ok(line)
}

/// `EnvironmentFile` (`systemd.exec(5)`), and what a POSIX shell reads the same way.
fn env(variable: &str, access_token: &str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    if access_token.contains(char::is_control) {
        return Err(FormatError::Unrepresentable {
            what: "the access token",
            format: Format::Env.name(),
        });
    }
    let value = escaped(access_token.as_bytes(), b"\"\\`$");
    let mut out = buffer(variable.len() + value.len() + 4);
    out.extend_from_slice(variable.as_bytes());
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(&value);
    out.extend_from_slice(b"\"\n");
    Ok(out)
}

/// One entry. Its readers disagree about quoting, so nothing that would need any is written.
fn netrc(
    machine: &str,
    login: &str,
    access_token: &str,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let words = [
        ("the machine", machine),
        ("the login", login),
        ("the access token", access_token),
    ];
    for (what, word) in words {
        let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        if word.is_empty() || word.starts_with('#') || !word.chars().all(plain) {
            let format = Format::Netrc.name();
            return Err(FormatError::Unrepresentable { what, format });
        }
    }
    let mut out = buffer(machine.len() + login.len() + access_token.len() + 32);
    for part in [
        "machine ",
        machine,
        " login ",
        login,
        " password ",
        access_token,
        "\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(out)
}

/// The token response (RFC 6749 section 5.1) without its refresh token, and with `expires_at`.
/// `expires_in` counts from the time of writing, which is the file's own time stamp.
#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'a str,
    expires_in: u64,
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
}

fn json(content: &Content<'_>) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let token = content.token;
    let response = TokenResponse {
        access_token: token.access_token.expose_secret(),
        token_type: &token.token_type,
        expires_in: content.expires_in(),
        expires_at: content.expires_at_unix(),
        scope: token.scope.as_deref(),
        id_token: token.id_token.as_ref().map(|t| t.expose_secret()),
    };
    let texts = [
        Some(response.access_token),
        Some(response.token_type),
        response.scope,
        response.id_token,
    ];
    // JSON makes six bytes of one at worst.
    let len: usize = texts.into_iter().flatten().map(|text| 6 * text.len()).sum();
    let mut out = buffer(len + 256);
    serde_json::to_writer(&mut *out, &response).map_err(|_| FormatError::Json)?;
    out.push(b'\n');
    Ok(out)
}

#[cfg(feature = "template")]
fn render_template(
    path: &Path,
    content: &Content<'_>,
    inputs: &Inputs,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let text = inputs.template.as_deref().unwrap_or_default();
    template::render(path, text, content)
}

#[cfg(not(feature = "template"))]
fn render_template(
    _: &Path,
    _: &Content<'_>,
    _: &Inputs,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    Err(FormatError::TemplatesNotBuilt)
}

fn escaped(value: &[u8], special: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = buffer(2 * value.len());
    for byte in value {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// Large enough from the start: a buffer that grows leaves copies behind.
fn buffer(capacity: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(capacity))
}
