//! A client as it was loaded: ready for requests, or as soon as the documents that it refers to are
//! fetched.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bearerd_core::instant::Instant;
use bearerd_core::refresh::{FailureKind, Use};

use super::credentials::values::Values;
use super::error::ObtainError;
use super::input_tokens::InputTokens;
use super::obtain::obtain;
use super::provider::document::Document;
use super::provider::single_flight::SingleFlight;
use super::registration::Registration;
use super::transport::EncodingError;
use crate::clock;
use crate::config::{ClientConfig, Environment, TokenConfig};
use crate::token::Token;

/// A client as it was loaded.
#[derive(Clone)]
pub enum Client {
    /// All that its requests need is here.
    Ready(Arc<Registration>),
    /// Its `client_id` or its secret stands in a document at a server.
    Referring(Arc<Referring>),
}

/// A client that refers to documents.
pub struct Referring {
    config: Arc<ClientConfig>,
    environment: Environment,
    documents: Vec<Document>,
    held: ArcSwapOption<Held>,
    fetches: SingleFlight<ObtainError>,
}

/// What the documents last said.
struct Held {
    registration: Arc<Registration>,
    values: Arc<Values>,
    /// Before that, the documents are left alone.
    ask_again_at: Instant,
}

impl Client {
    /// Reads the secrets and certificates of a client. Blocks on files; asks no server.
    ///
    /// # Errors
    /// [`ObtainError`] naming the file or key that is missing or of no use.
    pub fn load(config: Arc<ClientConfig>, environment: Environment) -> Result<Self, ObtainError> {
        let documents = config.documents();
        if documents.is_empty() {
            let registration = Registration::load(config, environment, &Values::default())?;
            return Ok(Self::Ready(Arc::new(registration)));
        }
        let documents = documents.into_iter();
        let documents = documents.map(|document| Document::load(document, &environment));
        Ok(Self::Referring(Arc::new(Referring {
            documents: documents.collect::<Result<_, _>>()?,
            held: ArcSwapOption::empty(),
            fetches: SingleFlight::default(),
            config,
            environment,
        })))
    }

    /// Whether both were loaded at once.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ready(one), Self::Ready(other)) => Arc::ptr_eq(one, other),
            (Self::Referring(one), Self::Referring(other)) => Arc::ptr_eq(one, other),
            (Self::Ready(_), Self::Referring(_)) | (Self::Referring(_), Self::Ready(_)) => false,
        }
    }

    /// The registration to send requests with. Documents are fetched when that has not happened
    /// yet.
    ///
    /// # Errors
    /// [`ObtainError`] when a document cannot be had, or lacks what is wanted of it.
    pub async fn registration(&self) -> Result<Arc<Registration>, ObtainError> {
        match self {
            Self::Ready(registration) => Ok(Arc::clone(registration)),
            Self::Referring(referring) => referring.registration(None).await,
        }
    }

    /// The same by what the documents say now: for a login, which people should not begin in vain,
    /// and after a refusal. They are asked once a minute at most.
    ///
    /// # Errors
    /// As [`registration`](Self::registration).
    pub async fn renewed(&self) -> Result<Arc<Registration>, ObtainError> {
        let registration = self.registration().await?;
        match self {
            Self::Ready(_) => Ok(registration),
            Self::Referring(referring) => referring.registration(Some(&registration)).await,
        }
    }

    /// Obtains a token by one token request; once more when the server refuses what a document said
    /// and the document says something else by now.
    ///
    /// # Errors
    /// As [`obtain`].
    pub async fn obtain(
        self,
        token: Arc<TokenConfig>,
        by: Use,
        input_tokens: InputTokens,
    ) -> Result<Token, ObtainError> {
        let registration = self.registration().await?;
        let request =
            |registration| obtain(registration, Arc::clone(&token), by, input_tokens.clone());
        let outcome = request(Arc::clone(&registration)).await;
        let kind = outcome.as_ref().err().map(|error| error.failure().kind);
        if kind != Some(FailureKind::Misconfigured) {
            return outcome;
        }
        match self.renewed().await {
            Ok(renewed) if !Arc::ptr_eq(&renewed, &registration) => request(renewed).await,
            _ => outcome,
        }
    }
}

impl Referring {
    /// Fetches the documents when none are held, or when those held made a registration that was
    /// refused.
    async fn registration(
        &self,
        refused: Option<&Arc<Registration>>,
    ) -> Result<Arc<Registration>, ObtainError> {
        let fetched = self.fetches.get(|| self.good(refused), self.renew(refused));
        Ok(fetched.await?)
    }

    async fn renew(
        &self,
        refused: Option<&Arc<Registration>>,
    ) -> Result<Arc<Registration>, ObtainError> {
        let held = self.held.load_full();
        let fetched = self.fetch().await;
        let now = clock::now();
        let (registration, values) = match (fetched, held) {
            (Ok(values), Some(held)) if values.equals(&held.values) => {
                (Arc::clone(&held.registration), Arc::clone(&held.values))
            }
            (Ok(values), _) => self.load(Arc::new(values)).await?,
            (Err(error), Some(held)) => {
                let client = &self.config.name;
                tracing::warn!(%error, client, "using what its documents said before");
                (Arc::clone(&held.registration), Arc::clone(&held.values))
            }
            (Err(error), None) => return Err(error),
        };
        self.held.store(Some(Arc::new(Held {
            registration: Arc::clone(&registration),
            values,
            ask_again_at: match refused {
                Some(_) => now + ASK_AGAIN,
                None => now,
            },
        })));
        Ok(registration)
    }

    /// The registration held, unless the documents are to be asked now.
    fn good(&self, refused: Option<&Arc<Registration>>) -> Option<Arc<Registration>> {
        let held = self.held.load_full()?;
        let is_refused = refused.is_some_and(|refused| Arc::ptr_eq(refused, &held.registration));
        let due = is_refused && clock::now() >= held.ask_again_at;
        (!due).then(|| Arc::clone(&held.registration))
    }

    async fn fetch(&self) -> Result<Values, ObtainError> {
        let mut values = Values::default();
        for document in &self.documents {
            document
                .fetch(self.config.document_places(), &mut values)
                .await?;
        }
        Ok(values)
    }

    async fn load(
        &self,
        values: Arc<Values>,
    ) -> Result<(Arc<Registration>, Arc<Values>), ObtainError> {
        let (config, environment) = (Arc::clone(&self.config), self.environment.clone());
        // Files are read and keys are parsed.
        let loaded = tokio::task::spawn_blocking(move || {
            let registration = Registration::load(config, environment, &values)?;
            Ok((Arc::new(registration), values))
        });
        loaded.await.map_err(|_| EncodingError)?
    }
}

/// How soon documents are asked for again after a refusal.
const ASK_AGAIN: Duration = Duration::from_secs(60);
