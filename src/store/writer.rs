//! The thread that writes the durable state, so that waiting for a disk never holds up the daemon.
//!
//! Group commit: whatever was asked for while the last write was under way is written together. The
//! cost of a sync is paid per batch, not per token.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use bearerd_core::credential::TokenName;
use rustix::io::Errno;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::moment::{BootId, Moment};
use super::seal::Sealer;
use super::state_dir::{StateDir, file_name};
use super::state_file::{EncodeError, Record, encode};
use crate::atomic_file::{self, Attributes, WriteError};
use crate::clock;

/// The owner's end: hands records over and never waits.
///
/// Dropping it writes what is still queued, for at most ten seconds.
#[derive(Debug)]
pub struct StateWriter {
    /// `None` only while dropping.
    jobs: Option<Sender<Job>>,
    /// Closed by the thread when it ends.
    ended: Receiver<()>,
}

/// The answer to a [`StateWriter::put`] or [`StateWriter::remove`]. Each gets one, also when a
/// newer record of the same token went to disk in its place.
#[derive(Clone, Debug)]
pub struct Written {
    /// The token.
    pub name: TokenName,
    /// The ticket that came with the order.
    pub ticket: u64,
    /// `Ok` says that this record or a newer one survives a power failure, or that its removal
    /// does.
    pub result: Result<(), StateError>,
}

/// Why a record is not durable. Trying again, with a backoff, can help.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StateError {
    /// The record's bytes could not be made.
    #[error("cannot write the state")]
    Encode(#[from] EncodeError),
    /// The record's file could not be written.
    #[error("cannot write the state")]
    Write(#[from] WriteError),
}

#[derive(Debug)]
enum Job {
    Put(Box<Record>, u64),
    Remove(TokenName, u64),
}

impl StateWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system grants no thread.
    pub fn spawn(
        mut dir: StateDir,
        sealer: Sealer,
        boot: BootId,
    ) -> io::Result<(Self, UnboundedReceiver<Written>)> {
        let (jobs, queue) = channel();
        let (acknowledge, written) = unbounded_channel();
        let (ends, ended) = channel();
        let replaced = std::mem::take(&mut dir.leftovers);
        let mut thread = Thread {
            dir,
            sealer,
            boot,
            acknowledge,
            replaced,
        };
        thread::Builder::new().name("state".into()).spawn(move || {
            thread.run(&queue);
            // The lock on the directory goes before anybody learns of the end.
            drop(thread);
            drop::<Sender<()>>(ends);
        })?;
        let jobs = Some(jobs);
        Ok((Self { jobs, ended }, written))
    }

    /// Makes a record durable, in place of any older one of its token. The ticket comes back with
    /// the answer.
    pub fn put(&self, record: Box<Record>, ticket: u64) {
        self.send(Job::Put(record, ticket));
    }

    /// Removes the state of a token for good. The ticket comes back with the answer.
    pub fn remove(&self, name: TokenName, ticket: u64) {
        self.send(Job::Remove(name, ticket));
    }

    fn send(&self, job: Job) {
        // The thread ends only after this sender is gone.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        self.jobs = None;
        if self.ended.recv_timeout(FLUSH_LIMIT) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the state is not written after {FLUSH_LIMIT:?}, giving up");
        }
    }
}

struct Thread {
    dir: StateDir,
    sealer: Sealer,
    boot: BootId,
    acknowledge: UnboundedSender<Written>,
    /// Old files that still take up room.
    replaced: Vec<OsString>,
}

/// What is to become of one token's file, and who wants to know.
struct Latest {
    /// `None`: removed.
    record: Option<Box<Record>>,
    tickets: Vec<u64>,
}

impl Thread {
    fn run(&mut self, queue: &Receiver<Job>) {
        while let Some(first) = self.next(queue) {
            let mut batch = BTreeMap::<TokenName, Latest>::new();
            let waiting = std::iter::from_fn(|| queue.try_recv().ok());
            for job in std::iter::once(first).chain(waiting.take(MAX_BATCH - 1)) {
                add(&mut batch, job);
            }
            self.write(batch);
        }
    }

    /// Waits for work; until there is some, the old files go. At the end only some of them do, so
    /// as not to hold up the stop: the next start finds the others.
    fn next(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        let mut discarded_at_end = 0;
        while let Some(replaced) = self.replaced.pop() {
            self.dir.directory.discard(&replaced);
            if self.replaced.len() > MAX_REPLACED {
                continue;
            }
            match queue.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) if discarded_at_end == MAX_DISCARDED_AT_END => {
                    return None;
                }
                Err(TryRecvError::Disconnected) => discarded_at_end += 1,
            }
        }
        queue.recv().ok()
    }

    fn write(&mut self, batch: BTreeMap<TokenName, Latest>) {
        let moment = Moment {
            boot: self.boot.clone(),
            now: clock::now(),
            unix_now: clock::unix_now(),
        };
        let mut records = Vec::with_capacity(batch.len());
        for (name, latest) in batch {
            match latest.record {
                Some(record) => match self.make_way(&name, &moment) {
                    Ok(()) => records.push((name, record, latest.tickets)),
                    Err(e) => self.answer(&name, latest.tickets, &Err(e)),
                },
                None => self.answer(&name, latest.tickets, &self.remove(&name)),
            }
        }
        if records.is_empty() {
            return;
        }
        let mut waiting = Vec::with_capacity(records.len());
        // One at a time is in memory.
        let files = records.into_iter().filter_map(|(name, record, tickets)| {
            let encoded = encode(&record, &self.sealer, &moment);
            match encoded {
                Ok(bytes) => {
                    let file = file_name(&name);
                    waiting.push((name, tickets));
                    Some((file, bytes))
                }
                Err(e) => {
                    self.answer(&name, tickets, &Err(e.into()));
                    None
                }
            }
        });
        let directory = &self.dir.directory;
        let mut replaced = Vec::new();
        let results = atomic_file::write_all(directory, files, &ATTRIBUTES, &mut replaced);
        for ((name, tickets), result) in waiting.into_iter().zip(results) {
            self.answer(&name, tickets, &result.map_err(StateError::from));
        }
        self.replaced.append(&mut replaced);
    }

    /// A file that could not be read is not overwritten.
    fn make_way(&mut self, name: &TokenName, moment: &Moment) -> Result<(), StateError> {
        if !self.dir.unread.contains(name) {
            return Ok(());
        }
        match self
            .dir
            .set_aside(&file_name(name), moment.unix_now.as_secs())
        {
            Ok(kept_as) => {
                tracing::warn!(token = %name, path = %kept_as.display(), "unread state set aside");
            }
            // Somebody was faster.
            Err(WriteError::Failed { cause, .. }) if cause == Errno::NOENT => {}
            Err(e) => return Err(e.into()),
        }
        self.dir.unread.remove(name);
        Ok(())
    }

    fn remove(&self, name: &TokenName) -> Result<(), StateError> {
        let path = self.dir.directory.path().join(file_name(name));
        let result = atomic_file::remove(&path);
        match &result {
            Ok(()) => tracing::info!(token = %name, "state removed"),
            Err(e) => tracing::warn!(token = %name, error = %e, "state not removed"),
        }
        Ok(result?)
    }

    fn answer(&self, name: &TokenName, tickets: Vec<u64>, result: &Result<(), StateError>) {
        for ticket in tickets {
            // Nobody listens any more while the daemon ends; the record is on disk all the same.
            let _ = self.acknowledge.send(Written {
                name: name.clone(),
                ticket,
                result: result.clone(),
            });
        }
    }
}

fn add(batch: &mut BTreeMap<TokenName, Latest>, job: Job) {
    let (name, record, ticket) = match job {
        Job::Put(record, ticket) => (record.name.clone(), Some(record), ticket),
        Job::Remove(name, ticket) => (name, None, ticket),
    };
    let latest = batch.entry(name).or_insert_with(|| Latest {
        record: None,
        tickets: Vec::new(),
    });
    latest.record = record;
    latest.tickets.push(ticket);
}

const ATTRIBUTES: Attributes = Attributes {
    owner: None,
    group: None,
    mode: 0o600,
};

/// A larger batch needs fewer syncs; a smaller one has its first answer sooner.
const MAX_BATCH: usize = 4096;

/// When more old files than this are left, they go first: a writer that is always busy would fill
/// the disk.
const MAX_REPLACED: usize = 16_384;

const MAX_DISCARDED_AT_END: u32 = 256;

const FLUSH_LIMIT: Duration = Duration::from_secs(10);
