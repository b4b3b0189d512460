//! Answers `GET /metrics` with OpenMetrics 1.0 text, which is computed at each scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::api::access::Caller;
use crate::api::code::State;
use crate::api::daemon::Api;
use crate::api::moment::Moment;
use crate::store::TokenView;

/// What the listener counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// How many connections to the HTTP socket are open.
    pub(super) connections: u64,
    /// How many requests the policy has refused since the daemon started.
    pub(super) denials: u64,
}

/// One scrape: what the caller may see at this moment.
#[derive(Debug)]
struct Scrape {
    moment: Moment,
    ready: bool,
    /// Whether the newest configuration is refused, and the counts. Only callers that may know of
    /// the daemon as a whole get them.
    daemon: Option<(bool, Counts)>,
    tokens: Vec<TokenView>,
}

/// Collects what the caller may see, and returns the function that writes it as text. Where there
/// are very many tokens, writing takes a while, and so it is not for the thread that answers
/// readers.
pub(super) fn scrape(
    api: &Api,
    caller: &Caller,
    counts: Counts,
) -> impl FnOnce() -> Result<String, fmt::Error> + use<> {
    // The daemon does not wait for the text.
    let daemon = api.daemon.borrow().clone();
    let tokens = Arc::clone(&api.tokens.borrow());
    let views = tokens.values().map(|view| view.borrow());
    let scrape = Scrape {
        moment: Moment::now(),
        ready: daemon.ready,
        daemon: caller
            .is_trusted()
            .then(|| (daemon.configuration_error.is_some(), counts)),
        tokens: views
            .filter(|view| caller.may_see(&view.config))
            .map(|view| view.clone())
            .collect(),
    };
    move || {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(scrape));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.daemon(&mut encoder)?;
        for family in FAMILIES {
            self.family(&mut encoder, family)?;
        }
        self.states(&mut encoder)
    }
}

impl Scrape {
    fn daemon(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: u64| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&value)
        };
        gauge(
            "bearerd_ready",
            "1 when every required token has been published and written to its files once",
            self.ready.into(),
        )?;
        if let Some((configuration_error, counts)) = self.daemon {
            gauge(
                "bearerd_configuration_error",
                "1 when the newest configuration is refused",
                configuration_error.into(),
            )?;
            gauge(
                "bearerd_open_connections",
                "Connections to the HTTP socket",
                counts.connections,
            )?;
            let mut denials = encoder.encode_descriptor(
                "bearerd_denials",
                "Requests that the socket's policy refused",
                None,
                MetricType::Counter,
            )?;
            denials.encode_counter::<[(&str, &str); 0], _, u64>(&counts.denials, None)?;
        }
        let help = "The version that runs";
        let mut build = encoder.encode_descriptor("bearerd_build", help, None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }

    fn family(&self, encoder: &mut DescriptorEncoder<'_>, family: &Family) -> fmt::Result {
        let Family {
            name,
            help,
            unit,
            kind,
            value,
        } = family;
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
        for view in &self.tokens {
            if let Some(value) = value(view, self.moment) {
                let labels = [("token", view.config.name.as_str())];
                let mut sample = metric.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => {
                        sample.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)?;
                    }
                    _ => sample.encode_gauge(&value)?,
                }
            }
        }
        Ok(())
    }

    /// Writes a sample for each state of each token. The one of the token's own state is 1.
    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How a token stands: 1 for its state, 0 for the others";
        let mut metric =
            encoder.encode_descriptor("bearerd_token_state", help, None, MetricType::Gauge)?;
        for view in &self.tokens {
            let own = State::of(view, self.moment.now);
            for state in State::ALL {
                let name = view.config.name.as_str();
                let labels = [("token", name), ("state", state.as_str())];
                let value = u64::from(state == own);
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

/// A number that each token may have. A token without it has no sample.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    value: fn(&TokenView, Moment) -> Option<u64>,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "bearerd_token_expires_timestamp",
        help: "When the token expires or has expired, since the epoch",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        value: |view, moment| {
            let validity = view.standing.status.validity?;
            Some(moment.epoch_seconds(validity.expires_at))
        },
    },
    Family {
        name: "bearerd_token_obtained_timestamp",
        help: "When the token was asked for, since the epoch",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        value: |view, moment| {
            let validity = view.standing.status.validity?;
            Some(moment.epoch_seconds(validity.obtained_at))
        },
    },
    Family {
        name: "bearerd_token_refresh_token_expires_timestamp",
        help: "When the refresh token expires, where the server said, since the epoch",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        value: |view, moment| {
            let refresh = view.standing.status.validity?.refresh?;
            Some(moment.epoch_seconds(refresh.expires_at?))
        },
    },
    Family {
        name: "bearerd_token_next_refresh_timestamp",
        help: "When the next request is due, since the epoch",
        unit: Some(Unit::Seconds),
        kind: MetricType::Gauge,
        value: |view, moment| {
            let next = view.standing.status.next_attempt_at?;
            Some(moment.epoch_seconds(next))
        },
    },
    Family {
        name: "bearerd_token_generation",
        help: "The number of the current token, counted across restarts",
        unit: None,
        kind: MetricType::Gauge,
        value: |view, _| view.current.as_ref().map(|current| current.generation),
    },
    Family {
        name: "bearerd_token_consecutive_failures",
        help: "Requests failed since the last success",
        unit: None,
        kind: MetricType::Gauge,
        value: |view, _| Some(view.standing.status.failures.into()),
    },
    Family {
        name: "bearerd_token_output_errors",
        help: "Files and hooks that could not be served",
        unit: None,
        kind: MetricType::Gauge,
        value: |view, _| u64::try_from(view.standing.output_errors.len()).ok(),
    },
    Family {
        name: "bearerd_token_attempts",
        help: "Requests finished since the daemon started, failed ones included",
        unit: None,
        kind: MetricType::Counter,
        value: |view, _| Some(view.standing.status.attempts),
    },
];
