//! The outputs of one token: those that run, and what they have come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::TokenConfig;
use crate::sink::{Output, Report, Sinks};

/// The outputs of one token.
pub(super) struct Delivery {
    /// `None` while no output runs.
    sinks: Option<Sinks>,
    /// The files that the token has not been written to yet.
    undelivered: BTreeSet<Output>,
    errors: BTreeMap<Output, Arc<str>>,
}

impl Delivery {
    /// Nothing runs yet, and nothing is delivered.
    pub(super) fn new(config: &TokenConfig) -> Self {
        Self {
            sinks: None,
            undelivered: files(config),
            errors: BTreeMap::new(),
        }
    }

    /// Begins again with the outputs of another configuration. What runs goes on until it is
    /// stopped.
    pub(super) fn configure(&mut self, config: &TokenConfig) {
        self.undelivered = files(config);
        self.errors.clear();
    }

    pub(super) fn is_running(&self) -> bool {
        self.sinks.is_some()
    }

    pub(super) fn run(&mut self, sinks: Option<Sinks>) {
        self.sinks = sinks;
    }

    /// Ends the outputs, letting a write under way end.
    pub(super) fn stop(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        self.sinks.take().map(Sinks::stop)
    }

    /// Takes note of what an output reports. An output that is not configured any more may still
    /// report; nothing becomes of that. Returns what is wrong with the outputs now.
    pub(super) fn note(&mut self, config: &TokenConfig, report: Report) -> Option<Vec<Arc<str>>> {
        if !has_output(config, &report.output) {
            return None;
        }
        match report.result {
            Ok(()) => {
                // Generation 0 is no token: at start, what an earlier run left has been removed.
                if report.generation != 0 {
                    self.undelivered.remove(&report.output);
                }
                self.errors.remove(&report.output);
            }
            Err(error) => {
                self.errors.insert(report.output, error);
            }
        }
        Some(self.errors.values().cloned().collect())
    }

    /// Whether the token has been written to every file.
    pub(super) fn is_complete(&self) -> bool {
        self.undelivered.is_empty()
    }

    /// Whether an output cannot be served.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }
}

fn files(config: &TokenConfig) -> BTreeSet<Output> {
    config
        .files
        .iter()
        .map(|file| Output::File(file.path.clone()))
        .collect()
}

fn has_output(config: &TokenConfig, output: &Output) -> bool {
    match output {
        Output::File(path) => config.files.iter().any(|file| file.path == *path),
        Output::Hook(index) => *index < config.hooks.len(),
    }
}
