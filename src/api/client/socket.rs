//! Finds the daemon's socket.

use std::path::PathBuf;

use crate::config::Environment;

/// Finds the path of the daemon's socket: the one that is given, else `$BEARERD_SOCKET`, else the
/// one of the user's own daemon where there is one, else the one of the system's.
#[must_use]
pub fn socket_path(given: Option<PathBuf>, environment: &Environment) -> PathBuf {
    let named = environment.var("BEARERD_SOCKET").filter(|p| !p.is_empty());
    if let Some(path) = given.or_else(|| named.map(PathBuf::from)) {
        return path;
    }
    environment
        .directory("XDG_RUNTIME_DIR")
        .map(|directory| directory.join("bearerd/bearerd.sock"))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/run/bearerd/bearerd.sock"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_socket() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = directory.path().to_str().unwrap();
        let user = directory.path().join("bearerd/bearerd.sock");
        let system = Path::new("/run/bearerd/bearerd.sock");
        let both = Environment::from([("BEARERD_SOCKET", "/b"), ("XDG_RUNTIME_DIR", runtime)]);
        let runtime_only = Environment::from([("XDG_RUNTIME_DIR", runtime)]);
        assert_eq!(socket_path(Some("/a".into()), &both), Path::new("/a"));
        assert_eq!(socket_path(None, &both), Path::new("/b"));
        assert_eq!(socket_path(None, &runtime_only), system);
        std::fs::create_dir(directory.path().join("bearerd")).unwrap();
        std::fs::File::create(&user).unwrap();
        assert_eq!(socket_path(None, &runtime_only), user);
        assert_eq!(socket_path(None, &Environment::default()), system);
    }
}
