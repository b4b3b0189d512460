//! Running a command: with little in its environment, for a bounded time, in a process group of its own.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::config::Environment;

/// Why a command has not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("cannot run {program}")]
    NotRun {
        program: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("{program}: killed, it had not ended after {timeout:?}")]
    TimedOut { program: String, timeout: Duration },
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The beginning of what it wrote to standard output, if that was piped.
    pub(super) stdout: Vec<u8>,
    /// The beginning of what it wrote to standard error.
    pub(super) stderr: Vec<u8>,
}

/// A command that inherits nothing but the variables that ordinary programs need.
pub(super) fn command(argv: &[String], environment: &Environment) -> Command {
    let (program, arguments) = match argv.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => ("", [].as_slice()),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, environment.var(name)?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Runs it to its end, at most for so long; then it is killed, with all that it has started.
pub(super) async fn run(mut command: Command, timeout: Duration) -> Result<Ended, CommandError> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => return Err(CommandError::NotRun { program, cause }),
    };
    let group = Group::of(&child);
    let stdout = listen(child.stdout.take(), MAX_STDOUT);
    let stderr = listen(child.stderr.take(), MAX_STDERR);
    let mut listening = tokio::spawn(async { tokio::join!(stdout, stderr) });
    let ended = tokio::time::timeout(timeout, child.wait()).await;
    if ended.is_ok() {
        group.leave();
    } else {
        group.end(&mut child).await;
    }
    // The pipes end with the command, unless it has left something running that holds them.
    let said = tokio::time::timeout(LAST_WORDS, &mut listening).await;
    if said.is_err() {
        listening.abort();
    }
    let (stdout, stderr) = said.ok().and_then(Result::ok).unwrap_or_default();
    match ended {
        Ok(Ok(status)) => Ok(Ended {
            status,
            stdout,
            stderr,
        }),
        Ok(Err(cause)) => Err(CommandError::NotRun { program, cause }),
        Err(_) => Err(CommandError::TimedOut { program, timeout }),
    }
}

/// The beginning of what a command says; the rest is read and dropped, so that it never waits for us.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let mut said = Vec::new();
    let Some(mut pipe) = pipe else {
        return said;
    };
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut part).await {
        let room = limit.saturating_sub(said.len()).min(length);
        said.extend_from_slice(part.get(..room).unwrap_or_default());
    }
    said
}

/// The command's process group: it and all that it has started. Killed on drop, so that nothing is left
/// behind when the task is aborted either.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets what the command has left running live on.
    fn leave(mut self) {
        self.0 = None;
    }

    async fn end(self, child: &mut Child) {
        if let Some(leader) = self.0 {
            // It may have ended in this very moment, and that is as good.
            let _ = kill_process_group(leader, Signal::TERM);
        }
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// What `systemctl`, `systemctl --user` and ordinary programs need, and no secret.
const PASSED_ON: [&str; 6] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "LANG",
    "PATH",
    "USER",
    "XDG_RUNTIME_DIR",
];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

const LAST_WORDS: Duration = Duration::from_millis(100);

const MAX_STDERR: usize = 4096;

const MAX_STDOUT: usize = 1 << 20;
