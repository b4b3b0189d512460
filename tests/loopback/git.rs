//! Real git over TLS, from a server that runs git's own `http-backend` for who shows the token.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use support::api_server::{self, Answer, Request};
use support::docs;

use crate::socket::{World, fresh};

/// A git server on loopback, and every `Authorization` that it was sent.
struct Server {
    url: String,
    ca: PathBuf,
    seen: mpsc::Receiver<String>,
}

impl Server {
    /// Serves the repositories below `root` to who shows `token` as `scheme` wants it.
    fn start(root: &Path, token: &str, scheme: &'static str) -> Self {
        let expected = match scheme {
            "Bearer" => format!("Bearer {token}"),
            _ => format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("oauth2:{token}"))
            ),
        };
        let (log, seen) = mpsc::channel();
        let (tls, pem) = api_server::tls();
        let repositories = root.to_owned();
        let port = api_server::serve(Some(tls), move |request| {
            let shown = request.header("authorization").map(str::to_owned);
            if let Some(shown) = shown.clone() {
                _ = log.send(shown);
            }
            if shown.as_ref() == Some(&expected) {
                return http_backend(&repositories, request);
            }
            let mut answer = Answer::new(401, "text/plain", "no");
            let challenge = format!("{scheme} realm=\"git\"");
            answer.headers.push(("WWW-Authenticate".into(), challenge));
            answer
        });
        let ca = root.join(format!("{port}.pem"));
        std::fs::File::create(&ca)
            .unwrap()
            .write_all(pem.as_bytes())
            .unwrap();
        let url = format!("https://127.0.0.1:{port}");
        Self { url, ca, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.try_iter().collect()
    }
}

/// git-http-backend(1): CGI.
fn http_backend(root: &Path, request: &Request) -> Answer {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &request.method)
        .env(
            "CONTENT_TYPE",
            request.header("content-type").unwrap_or_default(),
        )
        .env(
            "HTTP_CONTENT_ENCODING",
            request.header("content-encoding").unwrap_or_default(),
        )
        .env(
            "GIT_PROTOCOL",
            request.header("git-protocol").unwrap_or_default(),
        )
        .env("REMOTE_USER", "oauth2")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&request.body)
        .unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    let mut answer = Answer::new(200, "", &output[end + 4..]);
    answer.headers.clear();
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            answer.status = value[..3].parse().unwrap();
        } else {
            answer.headers.push((name.into(), value.into()));
        }
    }
    answer
}

/// A repository with a commit, and a `PATH` with the helper in it.
fn prepare(world: &World) -> (PathBuf, String) {
    let home = world.directory.path();
    let bin = home.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = env!("CARGO_BIN_EXE_bearerd");
    std::os::unix::fs::symlink(program, bin.join("git-credential-bearerd")).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let script = "git init -q --bare served/repo.git && git -C served/repo.git config http.receivepack true \
                  && git -C served/repo.git symbolic-ref HEAD refs/heads/main \
                  && git init -q work && cd work && git checkout -q -b main && echo one > file && git add file \
                  && git commit -q -m first && git push -q ../served/repo.git main";
    let mut sh = command(world, &path, "sh");
    let made = sh.args(["-c", script]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    (home.join("served"), path)
}

fn command(world: &World, path: &str, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.directory.path())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "a")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_COMMITTER_NAME", "a")
        .env("GIT_COMMITTER_EMAIL", "a@example.org")
        .env("BEARERD_SOCKET", &world.socket)
        .current_dir(world.directory.path());
    command
}

fn git(world: &World, path: &str, server: &Server, args: &[&str]) -> Output {
    let mut git = command(world, path, "git");
    git.arg("-c")
        .arg(format!("http.sslCAInfo={}", server.ca.display()));
    git.args(args).output().unwrap()
}

/// As docs/consumers.md says.
fn configure(world: &World, server: &Server, token: &str) {
    let config = docs::snippet("git", "ini", 0)
        .replace("https://git.example.org", &server.url)
        .replace("token = nhs", &format!("token = {token}"));
    let file = world.directory.path().join(".gitconfig");
    let mut file = std::fs::File::create(file).unwrap();
    file.write_all(config.as_bytes()).unwrap();
}

#[test]
fn clones_fetches_and_pushes_with_the_token() {
    let world = World::new([fresh("ci", "canary-1").0]);
    let (root, path) = prepare(&world);
    let server = Server::start(&root, "canary-1", "Basic");
    configure(&world, &server, "ci");
    let url = format!("{}/repo.git", server.url);
    let home = world.directory.path();
    let cloned = git(&world, &path, &server, &["clone", "-q", &url, "clone"]);
    assert!(cloned.status.success(), "{cloned:?}");
    assert!(home.join("clone/file").exists());
    let script = "cd clone && echo two > file && git commit -qam second";
    assert!(
        command(&world, &path, "sh")
            .args(["-c", script])
            .status()
            .unwrap()
            .success()
    );
    let pushed = git(
        &world,
        &path,
        &server,
        &["-C", "clone", "push", "-q", "origin", "main"],
    );
    assert!(pushed.status.success(), "{pushed:?}");
    let fetched = git(
        &world,
        &path,
        &server,
        &["-C", "work", "fetch", "-q", &url, "main"],
    );
    assert!(fetched.status.success(), "{fetched:?}");
    let subject = ["-C", "work", "log", "-1", "--format=%s", "FETCH_HEAD"];
    assert_eq!(git(&world, &path, &server, &subject).stdout, b"second\n");
    // Nothing of it stays.
    let kept = command(&world, &path, "grep")
        .args(["-rl", "canary", "clone", ".gitconfig"])
        .output();
    assert_eq!(kept.unwrap().stdout, b"");
}

/// git 2.46 and later send any scheme; those before cannot speak to a server that offers no other.
#[test]
fn sends_bearer_where_git_can() {
    let version = Command::new("git").arg("version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let numbers = version.split_whitespace().nth(2).unwrap();
    let numbers: Vec<u32> = numbers
        .split('.')
        .take(2)
        .map(|n| n.parse().unwrap())
        .collect();
    let world = World::new([fresh("ci", "canary-1").0]);
    let (root, path) = prepare(&world);
    let server = Server::start(&root, "canary-1", "Bearer");
    configure(&world, &server, "ci");
    let url = format!("{}/repo.git", server.url);
    let cloned = git(&world, &path, &server, &["clone", "-q", &url, "clone"]);
    assert_eq!(
        cloned.status.success(),
        numbers >= vec![2, 46],
        "{version}{cloned:?}"
    );
}

#[test]
fn fails_cleanly_without_the_right_token() {
    let world = World::new([fresh("ci", "canary-1").0, fresh("wrong", "canary-2").0]);
    let (root, path) = prepare(&world);
    let server = Server::start(&root, "canary-1", "Basic");
    let url = format!("{}/repo.git", server.url);
    let clone = || {
        let cloned = git(&world, &path, &server, &["clone", "-q", &url, "clone"]);
        let text = String::from_utf8_lossy(&cloned.stderr).into_owned();
        assert_eq!(cloned.status.code(), Some(128), "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert!(!world.directory.path().join("clone").exists());
        text
    };
    clone();
    configure(&world, &server, "absent");
    assert!(clone().contains("bearerd: no token is named absent"));
    configure(&world, &server, "wrong");
    assert!(clone().contains("Authentication failed"));
    configure(&world, &server, "no/name");
    assert!(clone().contains("the configured token"));
}

#[test]
fn no_other_server_gets_the_token() {
    let world = World::new([fresh("ci", "canary-1").0]);
    let (root, path) = prepare(&world);
    let server = Server::start(&root, "canary-1", "Basic");
    let other = Server::start(&root, "canary-1", "Basic");
    configure(&world, &server, "ci");
    let url = format!("{}/repo.git", other.url);
    let cloned = git(&world, &path, &other, &["clone", "-q", &url, "clone"]);
    assert_eq!(cloned.status.code(), Some(128), "{cloned:?}");
    assert_eq!(other.seen(), Vec::<String>::new());
    // Nor does one that the right one redirects to, be it asked first or not.
    let there = format!("{}/repo.git", other.url);
    let (tls, pem) = api_server::tls();
    let port = api_server::serve(Some(tls), move |request| {
        let mut answer = Answer::new(302, "text/plain", "");
        let rest = request.target.strip_prefix("/repo.git").unwrap_or_default();
        answer
            .headers
            .push(("Location".into(), format!("{there}{rest}")));
        answer
    });
    let ca = world.directory.path().join("both.pem");
    let both = format!("{pem}{}", std::fs::read_to_string(&other.ca).unwrap());
    std::fs::File::create(&ca)
        .unwrap()
        .write_all(both.as_bytes())
        .unwrap();
    let redirecting = Server {
        url: format!("https://127.0.0.1:{port}"),
        ca,
        seen: mpsc::channel().1,
    };
    configure(&world, &redirecting, "ci");
    let url = format!("{}/repo.git", redirecting.url);
    let cloned = git(&world, &path, &redirecting, &["clone", "-q", &url, "clone"]);
    assert_eq!(cloned.status.code(), Some(128), "{cloned:?}");
    assert_eq!(other.seen(), Vec::<String>::new());
}
