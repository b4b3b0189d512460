//! Documents that values of a client stand in, fetched from a loopback server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bearerd::config::{ClientId, DocumentConfig, DocumentRef, TlsConfig, Transport};
use bearerd::oauth::Client;
use bearerd_core::refresh::FailureKind;

use super::configuration::{client, environment, url};
use support::script::{Server, answer};

#[tokio::test]
async fn who_waits_for_a_document_in_vain_hears_why() {
    let mut server = Server::start(|_| answer(503, "retry-after: 7\r\n", "canary")).await;
    let document = DocumentConfig {
        name: "mock".into(),
        url: url(&server.url("/document")),
        headers: BTreeMap::new(),
        transport: Transport {
            tls: TlsConfig::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        },
    };
    let mut config = client(&server.url("/token"));
    config.client_id = ClientId::Document(DocumentRef {
        document: Arc::new(document),
        pointer: "/id".into(),
    });
    let client = Client::load(Arc::new(config), environment()).unwrap();
    let [a, b, c, d] = [(); 4].map(|()| client.registration());
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let errors = [a, b, c, d].map(|registration| registration.err().unwrap());
    for error in &errors {
        assert!(error.to_string().ends_with("answered 503"), "{error}");
        let failure = error.failure();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    }
    let echoes = errors.iter().filter(|error| error.failure().echo);
    assert_eq!(echoes.count(), 3);
    assert_eq!(server.seen().len(), 1);
    assert!(client.registration().await.is_err());
    assert_eq!(server.seen().len(), 1, "later it is asked again");
}
