//! Running a program: with little in its environment, for a bounded time, in a process group of its own.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::Environment;

/// Why a program has not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot run {program}")]
    NotRun {
        /// Its name.
        program: String,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// It ran for too long.
    #[error("{program}: killed, it had not ended after {timeout:?}")]
    TimedOut {
        /// Its name.
        program: String,
        /// How long it was given.
        timeout: Duration,
    },
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The beginning of what it wrote to standard output, if that was piped.
    pub stdout: Zeroizing<Vec<u8>>,
    /// The beginning of what it wrote to standard error, if that was piped.
    pub stderr: Zeroizing<Vec<u8>>,
}

/// A program that inherits nothing but `PATH` and the variables named.
#[must_use]
pub fn command(argv: &[String], environment: &Environment, pass_on: &[&str]) -> Command {
    let (program, arguments) = match argv.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => ("", [].as_slice()),
    };
    let variable = |name: &&str| Some((name.to_string(), environment.var(name)?.to_owned()));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(["PATH"].iter().chain(pass_on).filter_map(variable))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Runs it to its end, at most for so long; then it is killed, with all that it has started. Of each pipe at most
/// `limit` bytes are kept; the rest is read and dropped, so that it never waits for us.
///
/// # Errors
/// [`ProgramError`]. That it ended with another status than 0 is none.
pub async fn run(
    mut command: Command,
    within: Duration,
    limit: usize,
) -> Result<Ended, ProgramError> {
    let program = command.as_std().get_program();
    let program = program.to_string_lossy().into_owned();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => return Err(ProgramError::NotRun { program, cause }),
    };
    let group = Group::of(&child);
    let pipes = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = Default::default();
    let ended = {
        let listening = async {
            let stdout = listen(pipes.0, &mut stdout, limit);
            tokio::join!(stdout, listen(pipes.1, &mut stderr, limit))
        };
        tokio::pin!(listening);
        let mut all_said = false;
        let ended = timeout(within, async {
            tokio::select! {
                status = child.wait() => status,
                _ = &mut listening => {
                    all_said = true;
                    child.wait().await
                }
            }
        });
        let ended = ended.await;
        if ended.is_ok() && !all_said {
            // A pipe ends with the program, unless it has left something running that holds it.
            let _ = timeout(LAST_WORDS, listening).await;
        }
        ended
    };
    match ended {
        Ok(Ok(status)) => {
            group.leave();
            Ok(Ended {
                status,
                stdout,
                stderr,
            })
        }
        Ok(Err(cause)) => Err(ProgramError::NotRun { program, cause }),
        Err(_) => {
            group.end(&mut child).await;
            let timeout = within;
            Err(ProgramError::TimedOut { program, timeout })
        }
    }
}

async fn listen(pipe: Option<impl AsyncRead + Unpin>, said: &mut Zeroizing<Vec<u8>>, limit: usize) {
    let Some(mut pipe) = pipe else {
        return;
    };
    // Large enough from the start, lest growing leave copies of a token behind.
    said.reserve_exact(limit);
    let mut part = Zeroizing::new([0; 4096]);
    while let Ok(length @ 1..) = pipe.read(&mut *part).await {
        let room = limit.saturating_sub(said.len()).min(length);
        said.extend_from_slice(part.get(..room).unwrap_or_default());
    }
}

/// The program's process group: it and all that it has started. Killed on drop, so that nothing is left
/// behind when the task is aborted either.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets what the program has left running live on.
    fn leave(mut self) {
        self.0 = None;
    }

    async fn end(self, child: &mut Child) {
        if let Some(leader) = self.0 {
            // It may have ended in this very moment, and that is as good.
            let _ = kill_process_group(leader, Signal::TERM);
        }
        let _ = timeout(GRACE, child.wait()).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

const LAST_WORDS: Duration = Duration::from_millis(100);
