//! What stands in a secret's file and was hardly meant: editors and copying bring it in, and it is
//! sent as a part of the secret.

use std::path::Path;

/// What stands in a secret's file and was hardly meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Stray {
    /// Some editors begin UTF-8 with it.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// There is a blank or a tab at the beginning or at the end.
    #[error("has blanks around the secret")]
    Blanks,
    /// There is more than the one newline that is no part of the secret.
    #[error("ends with more than one newline")]
    Newlines,
    /// There is a character that no server takes.
    #[error("holds a NUL character")]
    Nul,
}

impl Stray {
    /// Looks at a secret as it was read, without its one newline.
    #[must_use]
    pub fn of(secret: &str) -> Option<Self> {
        let blank = |c: char| c == ' ' || c == '\t';
        // Around the lines of a key nothing matters (RFC 7468 section 2).
        let key = secret.contains("-----BEGIN ");
        if secret.starts_with('\u{feff}') {
            Some(Self::ByteOrderMark)
        } else if key {
            None
        } else if secret.contains('\0') {
            Some(Self::Nul)
        } else if secret.ends_with(['\n', '\r']) {
            Some(Self::Newlines)
        } else if secret.starts_with(blank) || secret.ends_with(blank) {
            Some(Self::Blanks)
        } else {
            None
        }
    }

    /// A shell's command that mends the file and leaves its owner and mode.
    #[must_use]
    pub fn remedy(self, file: &Path) -> String {
        let file = file.display();
        match self {
            Self::ByteOrderMark => format!("sed -i '1s/^\\xEF\\xBB\\xBF//' {file}"),
            Self::Newlines | Self::Nul => {
                format!("s=$(cat {file}); printf '%s\\n' \"$s\" > {file}")
            }
            Self::Blanks => format!(
                "s=$(sed 's/^[[:blank:]]*//; s/[[:blank:]]*$//' {file}); printf '%s\\n' \"$s\" > {file}"
            ),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_remedy_mends_what_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        for (content, stray) in [
            ("\u{feff}s3cr3t\n", Stray::ByteOrderMark),
            ("s3cr3t\n\n", Stray::Newlines),
            ("s3cr3t\r\n\n", Stray::Newlines),
            (" s3cr3t\n", Stray::Blanks),
            ("s3cr3t\t\n", Stray::Blanks),
            ("s3cr\u{0}3t\n", Stray::Nul),
        ] {
            fs::write(&file, content).unwrap();
            let read = content.strip_suffix('\n').unwrap();
            assert_eq!(Stray::of(read), Some(stray), "{content:?}");
            let remedy = stray.remedy(&file);
            let mended = Command::new("bash").args(["-c", &remedy]).output().unwrap();
            assert!(mended.status.success(), "{mended:?}");
            let read = fs::read_to_string(&file).unwrap();
            let read = read.strip_suffix('\n').unwrap();
            assert_eq!(read.trim_end_matches('\r'), "s3cr3t", "{content:?}");
        }
        for meant in ["-----BEGIN X-----\n\n", "s3cr3t", "a b", "a\nb", "pässwörd"] {
            assert_eq!(Stray::of(meant), None);
        }
    }
}
