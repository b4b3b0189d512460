//! `[[token.NAME.file]]`.

use super::keys::Field;
use super::model::{FileConfig, OnExpiry};
use super::references::headers;
use super::units::{file_path, group, mode, one_of, owner};
use super::validate;

/// Reads one file.
pub(super) fn file(field: Field<'_>) -> Option<FileConfig> {
    let mut keys = field.keys()?;
    let path = keys.required(
        "path",
        "such as `path = \"/run/bearerd/tokens/NAME\"`",
        file_path,
    );
    let format = validate::file_format(&mut keys);
    let headers = keys.optional("headers", headers);
    let cert = keys.optional("cert", file_path);
    let key = keys.optional("key", file_path);
    validate::cert_of_key(&keys);
    let owner = keys.optional("owner", owner);
    let group = keys.optional("group", group);
    let mode = keys.optional("mode", mode);
    let on_expiry = keys.optional("on_expiry", |on_expiry| one_of(on_expiry, &ON_EXPIRY));
    keys.finish();
    Some(FileConfig {
        path: path?,
        format: format?,
        headers: headers.unwrap_or_default(),
        cert,
        key,
        owner,
        group,
        mode: mode.unwrap_or(0o600),
        on_expiry: on_expiry.unwrap_or(OnExpiry::Keep),
    })
}

const ON_EXPIRY: [(&str, OnExpiry); 2] = [("keep", OnExpiry::Keep), ("remove", OnExpiry::Remove)];
