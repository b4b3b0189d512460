//! `[http.NAME]`: JSON documents at a server, and the values of clients that stand in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::client::transport;
use super::keys::Field;
use super::model::{ClientId, DocumentConfig, DocumentRef};
use super::references::{request_headers, secret};
use super::secret_ref::SecretRef;
use super::units::{https_url, pointer, text};

/// The documents by name; `None`: it is there, but wrong.
pub(super) type Documents = BTreeMap<String, Option<Arc<DocumentConfig>>>;

/// Reads `[http.NAME]`.
pub(super) fn document(field: Field<'_>) -> Option<DocumentConfig> {
    let mut keys = field.keys()?;
    let url = keys.required("url", URL_HINT, https_url);
    let headers = keys.optional("headers", request_headers);
    let transport = transport(&mut keys);
    keys.finish();
    Some(DocumentConfig {
        name: field.key.to_owned(),
        url: url?,
        headers: headers.unwrap_or_default(),
        transport,
    })
}

/// Reads `client_id`: itself, or where it stands.
pub(super) fn client_id(field: Field<'_>, documents: &Documents) -> Option<ClientId> {
    match is_place(field) {
        true => place(field, documents).map(ClientId::Document),
        false => text(field).map(ClientId::Given),
    }
}

/// Reads `client_secret`: a reference to a secret.
pub(super) fn client_secret(field: Field<'_>, documents: &Documents) -> Option<SecretRef> {
    match is_place(field) {
        true => place(field, documents).map(SecretRef::Document),
        false => secret(field),
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
