//! What a format needs beside the token: headers and a template. Reading them blocks.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::{Environment, FileConfig, HeaderValue, SecretError};

/// What a format needs beside the token.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The further headers, with their secrets as they were read.
    pub headers: Vec<(String, SecretString)>,
    /// The template's text.
    pub template: Option<String>,
}

impl Inputs {
    /// Whether [`Inputs::read`] reads files for this one, and so may block.
    #[must_use]
    pub fn are_files(file: &FileConfig) -> bool {
        let is_secret = |value: &HeaderValue| matches!(value, HeaderValue::Secret(_));
        file.headers.values().any(is_secret) || file.format.template().is_some()
    }

    /// Reads the secrets of a file's headers, and its template.
    ///
    /// # Errors
    /// [`InputError`] for the first that cannot be read.
    pub fn read(file: &FileConfig, environment: &Environment) -> Result<Self, InputError> {
        let mut inputs = Self::default();
        for (name, value) in &file.headers {
            let value = match value {
                HeaderValue::Plain(text) => SecretString::from(text.as_str()),
                HeaderValue::Secret(secret) => {
                    let name = name.clone();
                    let read = secret.read(environment);
                    read.map_err(|cause| InputError::Header { name, cause })?
                }
            };
            inputs.headers.push((name.clone(), value));
        }
        inputs.template = file.format.template().map(read_template).transpose()?;
        Ok(inputs)
    }
}

/// Why a header or a template cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The secret of a header.
    #[error("header {name}")]
    Header {
        /// The name of the header.
        name: String,
        /// Why the secret cannot be read.
        #[source]
        cause: SecretError,
    },
    /// The template itself.
    #[error("cannot read template {}", path.display())]
    Template {
        /// The template's file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
}

fn read_template(path: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(path).map_err(|cause| InputError::Template {
        path: path.into(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FileFormat, SecretRef};

    #[test]
    fn only_secrets_and_templates_are_files() {
        let with = |format, value: Option<HeaderValue>| {
            let mut file = FileConfig::new(PathBuf::new(), format);
            file.headers
                .extend(value.map(|value| ("X-Key".into(), value)));
            Inputs::are_files(&file)
        };
        let secret = SecretRef::File("/nonexistent".into());
        assert!(!with(FileFormat::Raw, None));
        assert!(!with(
            FileFormat::Headers,
            Some(HeaderValue::Plain("k".into()))
        ));
        assert!(with(FileFormat::Headers, Some(HeaderValue::Secret(secret))));
        let template = "/nonexistent".into();
        assert!(with(FileFormat::Template { template }, None));
    }
}
