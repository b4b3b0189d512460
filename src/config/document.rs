//! `[http.NAME]`: JSON documents at a server, and the values of clients that stand in them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeValue;

use super::environment::Environment;
use super::keys::Field;
use super::references::{HeaderValue, header_secrets, request_headers, secret};
use super::secret_ref::SecretRef;
use super::transport::Transport;
use super::units::{HttpsUrl, https_url, pointer, text};

/// `[http.NAME]`: a JSON document at a server, in which values of clients may stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentConfig {
    /// The table's name.
    pub name: String,
    /// Where the document is.
    pub url: HttpsUrl,
    /// The headers of the request for it.
    pub headers: BTreeMap<String, HeaderValue>,
    /// How the request gets to the server.
    pub transport: Transport,
}

impl DocumentConfig {
    /// The files whose change may change the request for the document.
    pub(super) fn inputs(&self, environment: &Environment) -> Vec<PathBuf> {
        let secrets = header_secrets(&self.headers);
        let paths = secrets.filter_map(|(_, secret)| secret.path(environment));
        paths
            .chain(self.transport.tls.inputs(environment))
            .collect()
    }
}

/// A place in a JSON document at a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentRef {
    /// The document.
    pub document: Arc<DocumentConfig>,
    /// The place in it, as a JSON pointer (RFC 6901).
    pub pointer: String,
}

/// `client_id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientId {
    /// It stands in a document.
    Document(DocumentRef),
    /// It stands in the configuration.
    Given(String),
}

/// `client_secret`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientSecret {
    /// `{ http = "NAME", pointer = "/…" }`: it stands in a document, which has to be fetched first.
    Document(DocumentRef),
    /// `{ file = "…" }` and the like.
    Secret(SecretRef),
}

/// The documents by name. `None` means that the document is configured, but wrongly.
pub(super) type Documents = BTreeMap<String, Option<Arc<DocumentConfig>>>;

/// Reads `[http.NAME]`.
pub(super) fn document(field: Field<'_>) -> Option<DocumentConfig> {
    let mut keys = field.keys()?;
    let url = keys.required("url", URL_HINT, https_url);
    let headers = keys.optional("headers", request_headers);
    let transport = Transport::read(&mut keys);
    keys.finish();
    Some(DocumentConfig {
        name: field.key.to_owned(),
        url: url?,
        headers: headers.unwrap_or_default(),
        transport,
    })
}

/// Reads `client_id`: the id itself, or where in a document it stands.
pub(super) fn client_id(field: Field<'_>, documents: &Documents) -> Option<ClientId> {
    match is_place(field) {
        true => place(field, documents).map(ClientId::Document),
        false => text(field).map(ClientId::Given),
    }
}

/// Reads `client_secret`: a reference to a secret, or where in a document it stands.
pub(super) fn client_secret(field: Field<'_>, documents: &Documents) -> Option<ClientSecret> {
    match is_place(field) {
        true => place(field, documents).map(ClientSecret::Document),
        false => secret(field).map(ClientSecret::Secret),
    }
}

fn is_place(field: Field<'_>) -> bool {
    matches!(field.value(), DeValue::Table(table) if table.contains_key("http"))
}

fn place(field: Field<'_>, documents: &Documents) -> Option<DocumentRef> {
    let mut keys = field.keys()?;
    let document = keys.optional("http", |field| {
        let name = field.str("the name of a document", "")?;
        match documents.get(name) {
            Some(document) => document.clone(),
            None => field.refuse(format!("there is no `[http.{name}]`"), URL_HINT),
        }
    });
    let pointer = keys.required("pointer", POINTER_HINT, pointer);
    keys.finish();
    Some(DocumentRef {
        document: document?,
        pointer: pointer?,
    })
}

const POINTER_HINT: &str =
    "where in the document it is, as a JSON pointer (RFC 6901): `pointer = \"/client_id\"`";
const URL_HINT: &str = "a JSON document: `[http.NAME]` with `url = \"https://…\"`";
