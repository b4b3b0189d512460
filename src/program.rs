//! Runs a program with few variables in its environment, for a bounded time, in a process group of
//! its own.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::Environment;

/// Why a program did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot run {program}")]
    NotRun {
        /// The program's name.
        program: String,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// It ran for too long.
    #[error("{program}: killed, it had not ended after {timeout:?}")]
    TimedOut {
        /// The program's name.
        program: String,
        /// How long it was given.
        timeout: Duration,
    },
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The program's exit status.
    pub status: ExitStatus,
    /// The beginning of what it wrote to standard output, if that was piped.
    pub stdout: Zeroizing<Vec<u8>>,
    /// The beginning of what it wrote to standard error, if that was piped.
    pub stderr: Zeroizing<Vec<u8>>,
}

/// Makes a command that inherits only `PATH` and the variables that are named.
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

/// Runs a program to its end. A program that has not ended after the time `within` is killed, with
/// everything that it has started. Of each pipe at most `limit` bytes are kept; the rest is read
/// and dropped, so that the program never waits for its reader.
///
/// # Errors
/// [`ProgramError`]. A program that ends with another status than 0 is no error.
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
            // A pipe ends with the program, unless something that it has started still holds the
            // pipe.
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
    // It is large enough from the start: growing would leave copies of a token behind.
    said.reserve_exact(limit);
    let mut part = Zeroizing::new([0; 4096]);
    while let Ok(length @ 1..) = pipe.read(&mut *part).await {
        let room = limit.saturating_sub(said.len()).min(length);
        said.extend_from_slice(part.get(..room).unwrap_or_default());
    }
}

/// The program's process group: the program and everything that it has started. Dropping it kills
/// the group, so that nothing is left running when the task is aborted.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Lets everything that the program has left running live on.
    fn leave(mut self) {
        self.0 = None;
    }

    /// Asks the group to end, and kills it after a moment.
    async fn end(self, child: &mut Child) {
        if let Some(leader) = self.0 {
            // The program may have ended at this moment, which is also good.
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

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// How long to read a pipe after its program has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);
