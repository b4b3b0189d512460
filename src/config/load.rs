//! From the main file's path to the configuration, or to everything that is wrong with it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bearerd_core::credential::TokenName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::client::{ClientConfig, Clients, client};
use super::daemon::{DaemonConfig, daemon, daemon_defaults};
use super::document::{Documents, document};
use super::environment::Environment;
use super::error::{ConfigErrors, Problem};
use super::excerpt::Excerpt;
use super::keys::{Field, Keys};
use super::links;
use super::reading::{Finding, Origin, Reading, Site};
use super::source::{Section, SourceFile, Sources, sections};
use super::token::{TokenConfig, token};

/// The checked configuration: everything the daemon is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[daemon]`.
    pub daemon: DaemonConfig,
    /// `[client.*]` by name.
    pub clients: BTreeMap<String, Arc<ClientConfig>>,
    /// `[token.*]` by name.
    pub tokens: BTreeMap<TokenName, Arc<TokenConfig>>,
    /// Every file and directory that was read or looked for: the main file, `conf.d`, its drop-ins.
    pub read_from: Vec<PathBuf>,
}

/// Reads the main file and `conf.d/*.toml` beside it, and checks everything.
///
/// Secrets are not read: only their references are checked.
///
/// # Errors
/// [`ConfigErrors`], with everything that is wrong in any of the files.
pub fn load(main_file: &Path, environment: &Environment) -> Result<Config, ConfigErrors> {
    let Sources { files, read_from } = Sources::read(main_file)?;
    let reading = Reading::default();
    let cut: Vec<Vec<Section<'_>>> = files.iter().map(|file| sections(&file.text)).collect();
    let root = rustix::process::geteuid().is_root();
    let mut loader = Loader {
        reading: &reading,
        daemon: daemon_defaults(environment, root),
        daemon_at: None,
        documents: Documents::new(),
        documents_at: BTreeMap::new(),
        clients: BTreeMap::new(),
        clients_at: BTreeMap::new(),
        tokens: BTreeMap::new(),
        tokens_at: BTreeMap::new(),
        paths: BTreeMap::new(),
    };
    for pass in [Pass::Documents, Pass::Clients, Pass::Tokens] {
        for (file, sections) in cut.iter().enumerate() {
            for section in sections {
                if Pass::only(section).is_some_and(|only| only != pass) {
                    continue;
                }
                loader.section(&files[file].text, file, section, pass);
            }
        }
    }
    let Loader {
        daemon,
        clients,
        tokens,
        tokens_at,
        ..
    } = loader;
    let tokens = links::linked(tokens, &tokens_at, &reading);
    let findings = reading.findings.into_inner();
    if findings.is_empty() {
        let clients = clients.into_iter();
        return Ok(Config {
            daemon,
            clients: clients.filter_map(|(name, c)| Some((name, c?))).collect(),
            tokens,
            read_from,
        });
    }
    Err(errors(&files, findings))
}

fn errors(files: &[SourceFile], mut findings: Vec<Finding>) -> ConfigErrors {
    let excerpt = |site: Site, broken| {
        let text = &files[site.file].text;
        Excerpt::new(text, site.piece, site.start..site.end, broken)
    };
    findings.sort_by_key(|finding| finding.site);
    let total = findings.len();
    findings.truncate(ConfigErrors::SHOWN);
    let problems = findings.into_iter().map(|finding| Problem {
        path: files[finding.site.file].path.clone(),
        message: finding.message,
        hint: finding.hint.or_else(|| {
            let first = finding.first?;
            let line = excerpt(first, false).line;
            let path = files[first.file].path.display();
            Some(format!("it stands first at {path}:{line}"))
        }),
        excerpt: Some(excerpt(finding.site, finding.broken)),
    });
    ConfigErrors::new(problems.collect(), total)
}

/// Tokens name clients, and clients name documents: all of these are read before any of those.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Documents,
    Clients,
    Tokens,
}

impl Pass {
    /// The one pass that reads a section. What stands outside of these tables may hold any of them,
    /// as `client.lev = { … }` does: every pass reads that.
    fn only(section: &Section<'_>) -> Option<Self> {
        match section.kind {
            _ if section.name.is_empty() => None,
            "http" => Some(Self::Documents),
            "client" => Some(Self::Clients),
            "token" => Some(Self::Tokens),
            _ => None,
        }
    }
}

struct Loader<'r> {
    reading: &'r Reading,
    daemon: DaemonConfig,
    daemon_at: Option<Site>,
    documents: Documents,
    documents_at: BTreeMap<String, Site>,
    clients: Clients,
    clients_at: BTreeMap<String, Site>,
    tokens: BTreeMap<TokenName, TokenConfig>,
    tokens_at: BTreeMap<String, Site>,
    paths: BTreeMap<PathBuf, Site>,
}

impl Loader<'_> {
    fn section(&mut self, text: &str, file: usize, section: &Section<'_>, pass: Pass) {
        let joined: String = section.pieces.iter().map(|p| &text[p.clone()]).collect();
        let origin = Origin {
            reading: self.reading,
            file,
            pieces: &section.pieces,
        };
        // In later passes the errors of a piece that every pass reads are known already.
        let first_time = pass == Pass::Documents || Pass::only(section).is_some();
        let (table, errors) = DeTable::parse_recoverable(&joined);
        // The first error is the mistake; those behind it mostly follow from it.
        if let Some(error) = errors.iter().min_by_key(|error| start_of(error)) {
            if first_time {
                origin.broken(error);
            }
            return;
        }
        let span = table.span();
        let root = Spanned::new(span, DeValue::Table(table.into_inner()));
        let field = Field {
            origin: &origin,
            table: "",
            key: "",
            value: &root,
        };
        let DeValue::Table(table) = root.get_ref() else {
            return;
        };
        let mut keys = Keys::new(field, String::new(), table);
        match pass {
            Pass::Documents => {
                keys.optional("daemon", |field| self.daemon(field));
                keys.optional("http", |field| self.documents(field));
                keys.optional("client", |_| Some(()));
                keys.optional("token", |_| Some(()));
                keys.finish();
            }
            Pass::Clients => {
                keys.optional("client", |field| self.clients(field));
            }
            Pass::Tokens => {
                keys.optional("token", |field| self.tokens(field));
            }
        }
    }

    fn daemon(&mut self, field: Field<'_>) -> Option<()> {
        let site = field.site();
        if let Some(first) = self.daemon_at.replace(site) {
            self.reading
                .again(site, "`daemon` is configured twice".into(), first);
        }
        self.daemon = daemon(field, &self.daemon)?;
        Some(())
    }

    fn documents(&mut self, field: Field<'_>) -> Option<()> {
        for field in field.keys()?.all() {
            checked_name(field, "document");
            let read = document(field).map(Arc::new);
            self.documents.entry(field.key.to_owned()).or_insert(read);
            once(self.reading, &mut self.documents_at, field);
        }
        Some(())
    }

    fn clients(&mut self, field: Field<'_>) -> Option<()> {
        for field in field.keys()?.all() {
            checked_name(field, "client");
            let read = client(field, &self.documents).map(Arc::new);
            self.clients.entry(field.key.to_owned()).or_insert(read);
            once(self.reading, &mut self.clients_at, field);
        }
        Some(())
    }

    fn tokens(&mut self, field: Field<'_>) -> Option<()> {
        for field in field.keys()?.all() {
            once(self.reading, &mut self.tokens_at, field);
            let Some(name) = checked_name(field, "token") else {
                continue;
            };
            let Some(token) = token(field, name.clone(), &self.clients) else {
                continue;
            };
            let sites = if token.files.is_empty() {
                Vec::new()
            } else {
                file_sites(field)
            };
            for (file, site) in token.files.iter().zip(sites) {
                unique_path(&mut self.paths, &file.path, site, self.reading);
            }
            self.tokens.entry(name).or_insert(token);
        }
        Some(())
    }
}

/// Reports a name that is configured already.
fn once(reading: &Reading, seen: &mut BTreeMap<String, Site>, field: Field<'_>) {
    match seen.entry(field.key.to_owned()) {
        Entry::Vacant(vacant) => {
            vacant.insert(field.site());
        }
        Entry::Occupied(first) => {
            let message = format!("`{}.{}` is configured twice", field.table, field.key);
            reading.again(field.site(), message, *first.get());
        }
    }
}

/// Two files at one path would overwrite each other.
fn unique_path(paths: &mut BTreeMap<PathBuf, Site>, path: &Path, site: Site, reading: &Reading) {
    match paths.entry(path.to_path_buf()) {
        Entry::Vacant(vacant) => {
            vacant.insert(site);
        }
        Entry::Occupied(first) => {
            let message = format!("`{}` is written twice", path.display());
            reading.again(site, message, *first.get());
        }
    }
}

fn start_of(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// Where the paths of a token's files stand.
fn file_sites(token: Field<'_>) -> Vec<Site> {
    let sites = || {
        let keys = token.keys()?;
        let files = keys.field("file")?.elements("", "")?;
        let path = |file: &Field<'_>| Some(file.keys()?.field("path")?.site());
        Some(files.iter().filter_map(path).collect())
    };
    sites().unwrap_or_default()
}

fn checked_name(field: Field<'_>, what: &str) -> Option<TokenName> {
    match TokenName::parse(field.key) {
        Ok(name) => Some(name),
        Err(error) => field.refuse(
            format!("`{}` is no {what}'s name", field.key),
            &error.to_string(),
        ),
    }
}
