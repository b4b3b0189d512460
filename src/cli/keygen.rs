//! `bearerd keygen`: a private key, and what is registered of it with an authorization server.

mod certificate;
mod pair;

use std::path::{Path, PathBuf};

use bearerd_core::refresh::ErrorState;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rustix::io::Errno;
use serde_json::json;

use super::error::CliError;
use super::output;
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
    #[arg(long, value_parser = PossibleValuesParser::new(["2048", "3072", "4096"]), default_value = "4096")]
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
    #[arg(long, value_name = "DAYS", default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36_500))]
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
    Write(#[from] WriteError),
}

impl KeygenError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Certificate(_) | Self::Generation => Code::Internal,
            Self::Exists(_) | Self::Kid => Code::Usage,
            Self::Write(_) => Code::State(ErrorState::FixConfig),
        }
    }

    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(_) | Self::Generation => None,
            Self::Exists(_) => Some("nothing was written: keys are never overwritten"),
            Self::Kid => Some("name the file, too: `--out DIRECTORY/NAME`"),
            Self::Write(error) => error.hint(),
        }
    }
}

/// Makes everything first, then writes, the private key last: whoever finds it finds the rest, too.
pub(super) fn run(args: &KeygenArgs) -> Result<u8, CliError> {
    let files = make(args)?;
    for (path, _, _) in &files {
        if path.symlink_metadata().is_ok() {
            return Err(KeygenError::Exists(path.clone()).into());
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

type File = (PathBuf, zeroize::Zeroizing<String>, u32);

fn make(args: &KeygenArgs) -> Result<Vec<File>, KeygenError> {
    let pair = Pair::generate(args.alg, &args.bits)?;
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

/// What all names begin with: as given, or in a directory that is given the key's identifier.
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

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
