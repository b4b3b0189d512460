//! What no server on a Unix socket does less than: this program once more, as a process of its own.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

/// The first argument that makes this program a floor.
const WORD: &str = "floor";

/// How a floor answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// Each request that ends in an empty line, as HTTP's without a body do.
    Requests,
    /// Each connection, at once; then it closes it.
    Connections,
}

/// A server with one thread, blocking calls and one answer that was made beforehand.
pub(crate) struct Floor {
    process: Child,
    directory: TempDir,
}

impl Floor {
    pub(crate) fn start(answers: Answers, answer: &[u8]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("answer");
        std::fs::write(&file, answer).expect("a file");
        let listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
        let process = Command::new(std::env::current_exe().expect("this program"))
            .args([WORD, &format!("{answers:?}")])
            .arg(file)
            .stdin(OwnedFd::from(listener))
            .spawn()
            .expect("this program");
        Self { process, directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until killed, if the arguments are a floor's.
pub(crate) fn serve_if_asked() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [word, answers, file] = arguments.as_slice() else {
        return;
    };
    if word != WORD {
        return;
    }
    let answer = std::fs::read(Path::new(file)).expect("the answer");
    let listener = std::io::stdin().as_fd().try_clone_to_owned();
    let listener = UnixListener::from(listener.expect("a listener for standard input"));
    loop {
        let (mut stream, _) = listener.accept().expect("a connection");
        if answers == "Connections" {
            let _ = stream.write_all(&answer);
            continue;
        }
        let mut request = [0; 4096];
        let mut length = 0;
        while let Ok(read @ 1..) = stream.read(&mut request[length..]) {
            length += read;
            if request[..length].ends_with(b"\r\n\r\n") {
                length = 0;
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    }
}
