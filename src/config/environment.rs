//! What the process was started with, as a value: tests need no real environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The environment variables that bearerd reads, and those that secrets refer to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Takes the process's own environment; variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// Gives a variable this value if it is not set.
    #[must_use]
    pub fn or(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.to_owned()).or_insert(value.to_owned());
        self
    }

    /// The value of a variable.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable that holds one directory, or the first of several (`$STATE_DIRECTORY` is a list).
    #[must_use]
    pub fn directory(&self, name: &str) -> Option<PathBuf> {
        let first = self.var(name)?.split(':').next()?;
        (!first.is_empty()).then(|| PathBuf::from(first))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(vars: [(&str, &str); N]) -> Self {
        vars.into_iter().collect()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(vars: T) -> Self {
        let owned = |(name, value): (&str, &str)| (name.into(), value.into());
        Self(vars.into_iter().map(owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let environment: Environment = [("A", "/a:/b"), ("B", ""), ("C", "/c")].into();
        assert_eq!(environment.directory("A"), Some("/a".into()));
        assert_eq!(environment.directory("B"), None);
        assert_eq!(environment.directory("C"), Some("/c".into()));
        assert_eq!(environment.directory("D"), None);
        assert_eq!(environment.var("A"), Some("/a:/b"));
        let environment = environment.or("A", "/x").or("D", "/d");
        assert_eq!(environment.var("A"), Some("/a:/b"));
        assert_eq!(environment.var("D"), Some("/d"));
    }
}
