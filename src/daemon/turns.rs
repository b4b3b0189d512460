//! What can happen next, and where it comes from.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::api::ApiError;
use crate::api::requests::{LoginRequest, Logout, RefreshRequest};
use crate::clock::Alarm;
use crate::signals::Signal;
use crate::sink::Report;
use crate::store::Written;
use crate::watch::Watch;

use super::attempts::Finished;
use super::clients::Clients;
use super::owners::Owners;
use super::timers::{Patience, Watchdog};
use super::{login, reload, revocations};

/// One thing that happened.
pub(super) enum Turn {
    Alarm,
    Attempt(Finished),
    FilesChanged(BTreeSet<PathBuf>),
    Loaded(Result<reload::Ended, JoinError>),
    Login(login::Ended),
    LoginRequested(LoginRequest),
    Logout(Logout),
    PatienceOver,
    RefreshRequested(RefreshRequest),
    Reported(Report),
    Retired,
    Revoked(revocations::Ended),
    ServerEnded(Result<Result<(), ApiError>, JoinError>),
    Signal(Signal),
    Watchdog,
    Written(Written),
    WriterEnded,
}

/// Where turns come from, apart from what the owners have under way.
pub(super) struct Turns {
    pub(super) clients: Clients,
    pub(super) requests: Requests,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) signals: mpsc::Receiver<Signal>,
    pub(super) timers: Timers,
    pub(super) watch: Watch,
    pub(super) written: mpsc::UnboundedReceiver<Written>,
}

/// What clients ask of the daemon.
pub(super) struct Requests {
    pub(super) logins: mpsc::Receiver<LoginRequest>,
    pub(super) logouts: mpsc::Receiver<Logout>,
    pub(super) refreshes: mpsc::Receiver<RefreshRequest>,
}

/// What the daemon does at its time.
pub(super) struct Timers {
    pub(super) alarm: Alarm,
    pub(super) patience: Patience,
    pub(super) watchdog: Watchdog,
}

impl Turns {
    /// Waits for the next thing to happen.
    pub(super) async fn next(&mut self, owners: &mut Owners) -> Turn {
        tokio::select! {
            () = self.timers.alarm.rung() => Turn::Alarm,
            finished = owners.attempts.finished() => Turn::Attempt(finished),
            written = self.written.recv() => written.map_or(Turn::WriterEnded, Turn::Written),
            ended = owners.logins.ended() => Turn::Login(ended),
            Some(request) = self.requests.logins.recv() => Turn::LoginRequested(request),
            Some(request) = self.requests.refreshes.recv() => Turn::RefreshRequested(request),
            Some(logout) = self.requests.logouts.recv() => Turn::Logout(logout),
            ended = owners.revocations.ended() => Turn::Revoked(ended),
            Some(report) = self.reports.recv() => Turn::Reported(report),
            () = owners.tokens.retired() => Turn::Retired,
            Some(signal) = self.signals.recv() => Turn::Signal(signal),
            files = self.watch.changed() => Turn::FilesChanged(files),
            ended = owners.reload.ended() => Turn::Loaded(ended),
            end = self.clients.ended() => Turn::ServerEnded(end),
            () = self.timers.patience.over() => Turn::PatienceOver,
            () = self.timers.watchdog.tick() => Turn::Watchdog,
        }
    }
}
