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

/// A user as `/etc/passwd` and `/etc/group` know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// The id of the user.
    pub uid: u32,
    /// The ids of all its groups.
    pub groups: Vec<u32>,
}

impl User {
    /// Finds a user by name or id; an id alone is a user, too.
    #[must_use]
    pub fn find(name_or_uid: &str) -> Option<Self> {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Self::find_in(&read("/etc/passwd"), &read("/etc/group"), name_or_uid)
    }

    fn find_in(passwd: &str, group: &str, name_or_uid: &str) -> Option<Self> {
        let fields = |line: &str| -> Vec<String> { line.split(':').map(str::to_owned).collect() };
        let users = passwd.lines().map(fields).filter(|user| user.len() >= 4);
        let mut found = users.filter(|user| user[0] == name_or_uid || user[2] == name_or_uid);
        let Some(user) = found.next() else {
            let uid = name_or_uid.parse().ok()?;
            let groups = Vec::new();
            return Some(Self { uid, groups });
        };
        let member = |group: &Vec<String>| {
            group.len() >= 4 && group[3].split(',').any(|member| member == user[0])
        };
        let further = group.lines().map(fields).filter(member);
        let further = further.filter_map(|group| group[2].parse().ok());
        Some(Self {
            uid: user[2].parse().ok()?,
            groups: user[3].parse().into_iter().chain(further).collect(),
        })
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
    fn users_and_all_their_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nlev:x:1001:100:::\n";
        let group = "root:x:0:\nusers:x:100:\nreports:x:50:web,lev\nother:x:51:leva\nbad\n";
        let found = |name| User::find_in(passwd, group, name).map(|user| (user.uid, user.groups));
        assert_eq!(found("lev"), Some((1001, vec![100, 50])));
        assert_eq!(found("1001"), found("lev"));
        assert_eq!(found("4711"), Some((4711, vec![])));
        assert_eq!(found("nobody-here"), None);
    }

    #[test]
    fn names_to_ids() {
        let names = parse(b"root:x:0:0::/root:/bin/sh\n+nis\nlev:x:1001:\nodd:x:y:\n");
        assert_eq!(names.get("root"), Some(&0));
        assert_eq!(names.get("lev"), Some(&1001));
        assert_eq!(names.len(), 2);
        assert_eq!(Users::default().group("root"), Some(0));
    }
}
