//! Where the configuration is.

use std::path::PathBuf;

use crate::config::Environment;

/// Returns the configuration's path: as given, else a user's own where it exists, else the
/// system's.
pub(super) fn config_path(given: Option<PathBuf>, environment: &Environment, uid: u32) -> PathBuf {
    let users = || {
        let directory = environment.directory("XDG_CONFIG_HOME").or_else(|| {
            let home = environment.directory("HOME")?;
            Some(home.join(".config"))
        })?;
        let path = directory.join("bearerd/bearerd.toml");
        (uid != 0 && path.exists()).then_some(path)
    };
    given
        .or_else(users)
        .unwrap_or_else(|| PathBuf::from("/etc/bearerd/bearerd.toml"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let environment = Environment::from([("HOME", home)]);
        let system = Path::new("/etc/bearerd/bearerd.toml");
        assert_eq!(config_path(None, &environment, 1000), system);
        let users = directory.path().join(".config/bearerd");
        std::fs::create_dir_all(&users).unwrap();
        let users = users.join("bearerd.toml");
        std::fs::File::create(&users).unwrap();
        assert_eq!(config_path(None, &environment, 1000), users);
        assert_eq!(config_path(None, &environment, 0), system);
        let given = config_path(Some("/x".into()), &environment, 1000);
        assert_eq!(given, Path::new("/x"));
    }
}
