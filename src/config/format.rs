//! The formats in which tokens are handed out: in files, on the credentials socket, by `get`.

use std::path::{Path, PathBuf};

use super::keys::{Field, Keys};
use super::units::{file_path, one_of, text, variable};

/// A format, by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// The token's bytes, without a newline.
    #[value(help = "The token; a newline follows only on a terminal")]
    Raw,
    /// RFC 6749 section 5.1 without the refresh token, and with `expires_at` (epoch seconds).
    #[value(help = "Token, type, expiry and scope as JSON")]
    Json,
    /// A `curl -H @file` file.
    #[value(help = "A header, for `curl -H @-`")]
    Headers,
    /// A `curl -K` file: Authorization, further headers, client certificate.
    #[value(help = "Options, for `curl -K -`")]
    Curl,
    /// A systemd `EnvironmentFile`.
    #[value(help = "`ACCESS_TOKEN=\"TOKEN\"`, for a shell or an EnvironmentFile")]
    Env,
    /// A netrc entry.
    #[value(help = "An entry with --machine, for `curl --netrc-file`")]
    Netrc,
    /// What a minijinja template makes of the token.
    #[value(help = "What --template makes of it")]
    Template,
}

impl Format {
    /// All formats, the simplest first.
    pub const ALL: [Self; 7] = [
        Self::Raw,
        Self::Headers,
        Self::Curl,
        Self::Json,
        Self::Env,
        Self::Netrc,
        Self::Template,
    ];

    /// The name of the format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Headers => "headers",
            Self::Curl => "curl",
            Self::Env => "env",
            Self::Netrc => "netrc",
            Self::Template => "template",
        }
    }

    /// The format that has this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// A format with its settings: what a token file contains.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileFormat {
    /// See [`Format::Curl`].
    Curl,
    /// See [`Format::Env`].
    Env {
        /// The variable that holds the token. The default is `ACCESS_TOKEN`.
        variable: String,
    },
    /// See [`Format::Headers`].
    Headers,
    /// See [`Format::Json`].
    Json,
    /// See [`Format::Netrc`].
    Netrc {
        /// `machine`.
        machine: String,
        /// `login`. The default is [`NETRC_LOGIN`].
        login: String,
    },
    /// See [`Format::Raw`].
    Raw,
    /// See [`Format::Template`].
    Template {
        /// The template's file.
        template: PathBuf,
    },
}

impl FileFormat {
    /// A format with those of the settings that it has. `None`: it lacks one that has no default.
    #[must_use]
    pub fn new(format: Format, settings: FormatSettings) -> Option<Self> {
        Some(match format {
            Format::Raw => Self::Raw,
            Format::Json => Self::Json,
            Format::Headers => Self::Headers,
            Format::Curl => Self::Curl,
            Format::Env => Self::Env {
                variable: settings.variable.unwrap_or_else(|| "ACCESS_TOKEN".into()),
            },
            Format::Netrc => Self::Netrc {
                machine: settings.machine?,
                login: settings.login.unwrap_or_else(|| NETRC_LOGIN.into()),
            },
            Format::Template => Self::Template {
                template: settings.template?,
            },
        })
    }

    /// The format without its settings.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Curl => Format::Curl,
            Self::Env { .. } => Format::Env,
            Self::Headers => Format::Headers,
            Self::Json => Format::Json,
            Self::Netrc { .. } => Format::Netrc,
            Self::Raw => Format::Raw,
            Self::Template { .. } => Format::Template,
        }
    }

    /// The template's file, if the format is a template.
    #[must_use]
    pub fn template(&self) -> Option<&Path> {
        match self {
            Self::Template { template } => Some(template),
            Self::Curl
            | Self::Env { .. }
            | Self::Headers
            | Self::Json
            | Self::Netrc { .. }
            | Self::Raw => None,
        }
    }

    /// Reads `format`, and the keys that only some formats have.
    pub(super) fn read(keys: &mut Keys<'_>) -> Option<Self> {
        let names = Format::ALL.map(|format| (format.name(), format));
        let format = match keys.has("format") {
            true => keys.optional("format", |format| one_of(format, &names)),
            false => Some(Format::Raw),
        };
        let settings = FormatSettings {
            variable: keys.optional("variable", variable),
            machine: keys.optional("machine", word),
            login: keys.optional("login", word),
            template: keys.optional("template", file_path),
        };
        let format = format?;
        check_keys(keys, format);
        if format == Format::Template && !cfg!(feature = "template") {
            let hint = "build bearerd with its cargo feature `template`";
            keys.refuse("format", "this bearerd was built without templates", hint);
        }
        Self::new(format, settings)
    }
}

/// The settings of all formats, as far as they are given.
#[derive(Clone, Debug, Default)]
pub struct FormatSettings {
    /// For [`Format::Env`]: the variable that holds the token.
    pub variable: Option<String>,
    /// For [`Format::Netrc`]: the host that the entry is for.
    pub machine: Option<String>,
    /// For [`Format::Netrc`]: the user's name at that host.
    pub login: Option<String>,
    /// For [`Format::Template`]: the template's file.
    pub template: Option<PathBuf>,
}

/// Refuses keys that mean nothing to the format, and misses those that it needs.
fn check_keys(keys: &Keys<'_>, format: Format) {
    for (key, formats) in KEYS {
        if keys.has(key) && !formats.contains(&format) {
            let message = format!("`{key}` means nothing to the format `{}`", format.name());
            let names: Vec<_> = formats.iter().map(|format| format.name()).collect();
            let hint = format!("it is for the format {}", names.join(" or "));
            keys.refuse(key, message, &hint);
        }
    }
    for (needed_by, key, hint) in NEEDED_KEYS {
        if needed_by == format && !keys.has(key) {
            let name = format.name();
            keys.lacks(format!("`{key}`, which the format `{name}` needs"), hint);
        }
    }
}

/// Reads a word of a netrc file.
fn word(field: Field<'_>) -> Option<String> {
    let word = text(field)?;
    if word.contains(char::is_whitespace) {
        return field.must_be("one word", "netrc knows no quoting");
    }
    Some(word)
}

/// The `login` of a netrc entry, where none is given.
pub const NETRC_LOGIN: &str = "oauth2";

/// The keys that only some formats have.
const KEYS: [(&str, &[Format]); 7] = [
    ("headers", &[Format::Headers, Format::Curl]),
    ("cert", &[Format::Curl]),
    ("key", &[Format::Curl]),
    ("variable", &[Format::Env]),
    ("machine", &[Format::Netrc]),
    ("login", &[Format::Netrc]),
    ("template", &[Format::Template]),
];

/// The keys without which a format means nothing.
const NEEDED_KEYS: [(Format, &str, &str); 2] = [
    (
        Format::Netrc,
        "machine",
        "the API's host: `machine = \"api.example.org\"`",
    ),
    (
        Format::Template,
        "template",
        "the template's file: `template = \"/etc/bearerd/NAME.j2\"`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_format_has_one_name() {
        assert_eq!(Format::ALL.len(), Format::value_variants().len());
        for format in Format::value_variants() {
            let option = format.to_possible_value().unwrap();
            assert_eq!(option.get_name(), format.name());
            assert_eq!(Format::named(format.name()), Some(*format));
        }
    }
}
