//! `bearerd keygen`: a private key, and what is registered of it with an authorization server.

mod certificate;
mod pair;

use std::path::{Path, PathBuf};

use bearerd_core::refresh::ErrorState;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rustix::io::Errno;
use serde_json::json;

use super::output::{self, OutputError};
use crate::api::code::{Code, EXIT_FRESH};
use crate::atomic_file::{self, Attributes, WriteError};
use crate::config::{SIGNATURE_ALGS, SignatureAlg};

use certificate::Subject;
use pair::Pair;

#[derive(Args, Debug)]
pub(super) struct KeygenArgs {
    /// The signature algorithm that the key is for
    #[arg(long, value_parser = algs(), default_value = "RS512")]
    alg: SignatureAlg,
    /// The size of an RSA key
    #[arg(long, value_parser = PossibleValuesParser::new(RSA_BITS), default_value = "4096")]
    bits: String,
    /// The key's identifier [default: its RFC 7638 thumbprint]
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// A directory, or a path to which `.key`, `.jwks.json`, `.crt` and `.csr` are appended
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Also make a self-signed X.509 certificate
    #[arg(long, requires = "subject")]
    cert: bool,
    /// Also make a certificate signing request
    #[arg(long, requires = "subject")]
    csr: bool,
    /// Whom certificate and request name, such as `CN=lev-reports,O=Registry`
    #[arg(long, value_name = "CN=NAME", value_parser = Subject::parse)]
    subject: Option<Subject>,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 730)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeygenError {
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("{} is already there", .0.display())]
    Exists(PathBuf),
    #[error("cannot make a key")]
    Generation,
    #[error("the key's identifier cannot be a file's name")]
    Kid,
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl KeygenError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Certificate(_) | Self::Generation => Code::Internal.exit_code(),
            Self::Exists(_) | Self::Kid => Code::Usage.exit_code(),
            Self::Output(error) => error.exit_code(),
            Self::Write(_) => Code::State(ErrorState::FixConfig).exit_code(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Certificate(_) | Self::Generation | Self::Output(_) => None,
            Self::Exists(_) => Some("nothing was written: keys are never overwritten"),
            Self::Kid => Some("name the file, too: `--out DIRECTORY/NAME`"),
            Self::Write(error) => error.hint(),
        }
    }
}

/// Makes everything before anything is written. The private key is written last, so that whoever
/// finds it finds the other files, too.
pub(super) fn run(args: &KeygenArgs) -> Result<u8, KeygenError> {
    let files = make(args)?;
    for (path, _, _) in &files {
        if path.symlink_metadata().is_ok() {
            return Err(KeygenError::Exists(path.clone()));
        }
    }
    let mut written = String::new();
    for (path, content, mode) in files {
        let attributes = Attributes {
            owner: None,
            group: None,
            mode,
        };
        atomic_file::create(&path, content.as_bytes(), &attributes).map_err(|e| match e {
            WriteError::Failed { cause, path, .. } if cause == Errno::EXIST => {
                KeygenError::Exists(path)
            }
            other => other.into(),
        })?;
        written += &format!("{}\n", path.display());
    }
    output::write(written.as_bytes())?;
    Ok(EXIT_FRESH)
}

/// A file to write, with its content and permission bits.
type File = (PathBuf, zeroize::Zeroizing<String>, u32);

fn make(args: &KeygenArgs) -> Result<Vec<File>, KeygenError> {
    let pair = Pair::generate(args.alg, &args.bits).map_err(|_| KeygenError::Generation)?;
    let kid = args.kid.clone().unwrap_or_else(|| pair.thumbprint());
    let prefix = prefix(&args.out, &kid)?;
    let file = |extension: &str, content: String, mode| {
        let mut path = prefix.clone().into_os_string();
        path.push(extension);
        (path.into(), content.into(), mode)
    };
    let mut jwk = pair.public.clone();
    jwk.insert("kid".into(), json!(kid));
    jwk.insert("alg".into(), json!(format!("{:?}", args.alg)));
    jwk.insert("use".into(), json!("sig"));
    let jwks = format!("{:#}\n", json!({ "keys": [jwk] }));
    let mut files = vec![file(".jwks.json", jwks, PUBLIC)];
    let signer = pair.signer()?;
    if let Some(subject) = &args.subject {
        if args.cert {
            let pem = certificate::self_signed(subject, args.days, &signer)?;
            files.push(file(".crt", pem, PUBLIC));
        }
        if args.csr {
            let pem = certificate::request(subject, &signer)?;
            files.push(file(".csr", pem, PUBLIC));
        }
    }
    files.push(file(".key", signer.serialize_pem(), PRIVATE));
    Ok(files)
}

/// Returns what all names begin with: `out` itself, or the key's identifier in the directory `out`.
fn prefix(out: &Path, kid: &str) -> Result<PathBuf, KeygenError> {
    if !out.is_dir() {
        return Ok(out.into());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if kid.is_empty() || kid.starts_with('.') || !kid.chars().all(plain) {
        return Err(KeygenError::Kid);
    }
    Ok(out.join(kid))
}

fn algs() -> impl TypedValueParser<Value = SignatureAlg> {
    PossibleValuesParser::new(SIGNATURE_ALGS.map(|(name, _)| name)).try_map(|given| {
        let found = SIGNATURE_ALGS.iter().find(|(name, _)| *name == given);
        found.map(|(_, alg)| *alg).ok_or("no such algorithm")
    })
}

/// The sizes of RSA keys.
const RSA_BITS: [&str; 3] = ["2048", "3072", "4096"];

/// The permission bits of private keys.
const PRIVATE: u32 = 0o600;
/// The permission bits of everything else.
const PUBLIC: u32 = 0o644;
