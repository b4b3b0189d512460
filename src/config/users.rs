//! Owners and groups by name.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;

/// The names of `/etc/passwd` and `/etc/group`, read when the first one is asked for.
#[derive(Debug, Default)]
pub(super) struct Users {
    owners: OnceCell<BTreeMap<String, u32>>,
    groups: OnceCell<BTreeMap<String, u32>>,
}

impl Users {
    pub(super) fn owner(&self, name: &str) -> Option<u32> {
        lookup(&self.owners, "/etc/passwd", name)
    }

    pub(super) fn group(&self, name: &str) -> Option<u32> {
        lookup(&self.groups, "/etc/group", name)
    }
}

fn lookup(names: &OnceCell<BTreeMap<String, u32>>, path: &str, name: &str) -> Option<u32> {
    let names = names.get_or_init(|| parse(&fs::read(path).unwrap_or_default()));
    names.get(name).copied()
}

/// Both files have the name first and the id third (`passwd(5)`, `group(5)`).
fn parse(content: &[u8]) -> BTreeMap<String, u32> {
    String::from_utf8_lossy(content)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_to_ids() {
        let names = parse(b"root:x:0:0::/root:/bin/sh\n+nis\nlev:x:1001:\nodd:x:y:\n");
        assert_eq!(names.get("root"), Some(&0));
        assert_eq!(names.get("lev"), Some(&1001));
        assert_eq!(names.len(), 2);
        assert_eq!(Users::default().group("root"), Some(0));
    }
}
