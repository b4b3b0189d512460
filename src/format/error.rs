//! Why a token cannot be written in a format.

use std::path::PathBuf;

/// Why a format cannot hold this token or header. It never holds either.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// The header would be cut or split.
    #[error("header {name} cannot be sent: {reason}")]
    Header {
        /// The name of the header.
        name: String,
        /// What is wrong with the header.
        reason: &'static str,
    },
    /// The JSON library refused the token; nothing that a token holds leads here.
    #[error("cannot write JSON")]
    Json,
    /// The template is wrong.
    #[error("template {} line {line}: {kind}", path.display())]
    Template {
        /// The template's file.
        path: PathBuf,
        /// The line, counted from 1; 0 when it is not known.
        line: usize,
        /// What the template engine says, without the values that it had.
        kind: String,
    },
    /// This build has no templates.
    #[error("this bearerd was built without templates")]
    TemplatesNotBuilt,
    /// A value has characters for which the format has no quoting.
    #[error("{what} holds characters that {format} has no way to write")]
    Unrepresentable {
        /// What the value is.
        what: &'static str,
        /// The format's name.
        format: &'static str,
    },
}
