//! Typed reading of one table. Every key is asked for once; a key that nobody asked for is unknown.
//!
//! A reader that meets a mistake reports it and answers `None`, and reading goes on: that is how
//! all mistakes come out at once.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::reading::{Origin, Site};

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) origin: &'a Origin<'a>,
    /// The dotted name of the table it is in.
    pub(super) table: &'a str,
    /// Its key. An element of an array has the key of the array.
    pub(super) key: &'a str,
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Field<'a> {
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    pub(super) fn site(&self) -> Site {
        self.origin.site(self.value.span())
    }

    /// Reports what is wrong with the value, and what to do about it.
    pub(super) fn refuse<T>(&self, message: impl Display, hint: &str) -> Option<T> {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.origin
            .report(self.value.span(), message.to_string(), hint);
        None
    }

    /// Reports what the value must be.
    pub(super) fn must_be<T>(&self, what: impl Display, hint: &str) -> Option<T> {
        self.refuse(format!("`{}` must be {what}", self.key), hint)
    }

    /// Reports that the value has the wrong type.
    pub(super) fn wrong_type<T>(&self, what: impl Display, hint: &str) -> Option<T> {
        let found = match self.value() {
            DeValue::Array(_) => "an array",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date-time",
            DeValue::Float(_) => "a float",
            DeValue::Integer(_) => "an integer",
            DeValue::String(_) => "a string",
            DeValue::Table(_) => "a table",
        };
        self.must_be(format!("{what}, not {found}"), hint)
    }

    /// The string's content.
    pub(super) fn str(&self, what: &str, hint: &str) -> Option<&'a str> {
        match self.value() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(what, hint),
        }
    }

    /// The keys of the value, which has to be a table.
    pub(super) fn keys(self) -> Option<Keys<'a>> {
        let name = self.name();
        match self.value() {
            DeValue::Table(table) => Some(Keys::new(self, name, table)),
            _ if self.table.is_empty() && self.key != "daemon" => self.wrong_type(
                "a table",
                &format!("write `[{name}.NAME]` and its keys below it"),
            ),
            _ => self.wrong_type(
                "a table",
                &format!("write `[{name}]` and its keys below it"),
            ),
        }
    }

    /// The one entry of a table whose keys are names of kinds, such as `grant`: the name of its
    /// table, the entry itself, and the kind that its name stands for.
    pub(super) fn kind<T: Copy>(
        self,
        kinds: &[(&'static str, T)],
        what: &str,
    ) -> Option<(String, Field<'a>, T)> {
        if let DeValue::String(text) = self.value() {
            let kind = kinds.iter().find(|(kind, _)| *kind == text);
            let kind = kind.map_or("NAME", |(kind, _)| kind);
            let hint = format!("write `[{}.{kind}]` and its keys below it", self.name());
            return self.wrong_type("a table", &hint);
        }
        self.keys()?.kind(kinds, what)
    }

    fn name(&self) -> String {
        match self.table {
            "" => self.key.to_owned(),
            table => format!("{table}.{}", self.key),
        }
    }

    /// The elements of the value, which has to be an array.
    pub(super) fn elements(self, what: &str, hint: &str) -> Option<Vec<Field<'a>>> {
        match self.value() {
            DeValue::Array(array) => Some(self.each(array)),
            _ => self.wrong_type(what, hint),
        }
    }

    fn each(self, array: &'a DeArray<'a>) -> Vec<Field<'a>> {
        array.iter().map(|value| Field { value, ..self }).collect()
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    /// The table's dotted name, as in its header.
    pub(super) name: String,
    field: Field<'a>,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(field: Field<'a>, name: String, table: &'a DeTable<'a>) -> Self {
        Self {
            name,
            field,
            table,
            known: Vec::new(),
        }
    }

    /// Reads a key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Field<'_>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        read(self.field(key)?)
    }

    /// Reads a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        read: impl FnOnce(Field<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.lacks(format!("`{key}`"), hint);
        }
        self.optional(key, read)
    }

    fn kind<T: Copy>(
        mut self,
        kinds: &[(&'static str, T)],
        what: &str,
    ) -> Option<(String, Field<'a>, T)> {
        self.known.extend(kinds.iter().map(|(kind, _)| kind));
        let mut present: Vec<_> = self.in_file_order().collect();
        present.retain(|(key, _)| self.known.contains(&key.get_ref().as_ref()));
        if let Some((second, _)) = present.get(1) {
            let hint = format!("keep one of them: {}", names(&present));
            let message = format!("`{}` has more than one {what}", self.name);
            self.field.origin.report(second.span(), message, Some(hint));
            return None;
        }
        let Some((kind, _)) = present.first() else {
            if self.table.is_empty() {
                let hint = format!("one of {}", self.known.join(", "));
                self.lacks(format!("its {what}"), &hint);
            }
            self.finish();
            return None;
        };
        let name = kind.get_ref().to_string();
        let (_, kind) = kinds.iter().find(|(kind, _)| *kind == name)?;
        let (key, value) = self.table.get_key_value(name.as_str())?;
        let field = Field {
            key: key.get_ref(),
            value,
            ..self.field
        };
        let table = std::mem::take(&mut self.name);
        self.finish();
        Some((table, field, *kind))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, if the table has the key.
    pub(super) fn field(&self, key: &str) -> Option<Field<'_>> {
        let (key, value) = self.table.get_key_value(key)?;
        Some(Field {
            origin: self.field.origin,
            table: &self.name,
            key: key.get_ref(),
            value,
        })
    }

    /// Every key with its value, in the order of the file.
    pub(super) fn all(&self) -> Vec<Field<'_>> {
        self.in_file_order()
            .map(|(key, value)| Field {
                origin: self.field.origin,
                table: &self.name,
                key: key.get_ref(),
                value,
            })
            .collect()
    }

    fn in_file_order(
        &self,
    ) -> impl Iterator<
        Item = (
            &'a Spanned<toml::de::DeString<'a>>,
            &'a Spanned<DeValue<'a>>,
        ),
    > + use<'a> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter()
    }

    /// Reports something about a key.
    pub(super) fn refuse(&self, key: &str, message: impl Display, hint: &str) {
        let span = match self.table.get_key_value(key) {
            Some((key, _)) => key.span(),
            None => self.field.value.span(),
        };
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.field.origin.report(span, message.to_string(), hint);
    }

    /// Reports that something is missing.
    pub(super) fn lacks(&self, what: impl Display, hint: &str) {
        self.refuse("", format!("`{}` lacks {what}", self.name), hint);
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.in_file_order() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                self.unknown(key);
            }
        }
    }

    fn unknown(&self, key: &Spanned<toml::de::DeString<'_>>) {
        let name = key.get_ref();
        let place = match self.name.as_str() {
            "" => "at the top level".to_owned(),
            table => format!("in `{table}`"),
        };
        let elsewhere = PLACES.iter().find(|(known, _)| known == name);
        let hint = match (closest(name, &self.known), elsewhere) {
            (Some(known), None) => format!("did you mean `{known}`?"),
            (Some(known), _) if known.len().abs_diff(name.len()) <= 1 => {
                format!("did you mean `{known}`?")
            }
            (_, Some((_, hint))) => (*hint).to_owned(),
            (None, None) if self.known.is_empty() => "it takes no keys".into(),
            (None, None) => format!("known here: {}", self.known.join(", ")),
        };
        let message = format!("unknown key `{name}` {place}");
        self.field.origin.report(key.span(), message, Some(hint));
    }
}

fn names(keys: &[(&Spanned<toml::de::DeString<'_>>, &Spanned<DeValue<'_>>)]) -> String {
    let names: Vec<_> = keys
        .iter()
        .map(|(key, _)| format!("`{}`", key.get_ref()))
        .collect();
    names.join(", ")
}

/// The name that was probably meant.
pub(super) fn closest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let name = name.to_lowercase();
    let distance = |other: &str| strsim::osa_distance(&name, &other.to_lowercase());
    let best = known.iter().min_by_key(|other| distance(other))?;
    (distance(best) <= best.len().min(name.len()).div_ceil(3)).then_some(*best)
}

/// Keys that are often put where they do not belong.
const PLACES: [(&str, &str); 12] = [
    ("alg", "it belongs to `[client.NAME.auth.private_key_jwt]`"),
    ("at", "it belongs to `[token.NAME.refresh]`"),
    ("before_expiry", "it belongs to `[token.NAME.refresh]`"),
    (
        "client_secret",
        "it belongs to `[client.NAME.auth.client_secret_post]` or another method",
    ),
    (
        "grant_type",
        "the grant is a table: `[token.NAME.grant.client_credentials]`",
    ),
    (
        "headers",
        "it belongs to `[[token.NAME.file]]` with the format `headers` or `curl`",
    ),
    (
        "key",
        "it belongs to `[client.NAME.auth.private_key_jwt]` or `[client.NAME.tls]`",
    ),
    ("password", "it belongs to `[token.NAME.grant.password]`"),
    ("path", "it belongs to `[[token.NAME.file]]`"),
    (
        "refresh_token",
        "it belongs to `[token.NAME.grant.refresh_token]`",
    ),
    (
        "type",
        "a kind is a table of its own, such as `[token.NAME.grant.password]` or \
         `[client.NAME.auth.none]`",
    ),
    ("username", "it belongs to `[token.NAME.grant.password]`"),
];
