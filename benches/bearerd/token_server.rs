//! A token server that is as quick as one can be: one thread, one answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use http::{Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Bytes of an access token: a JWT with a few claims has about as many.
pub(crate) const TOKEN_LENGTH: usize = 1000;

/// Answers every request with a token of its own, until the process ends.
pub(crate) struct TokenServer {
    pub(crate) address: SocketAddr,
}

impl TokenServer {
    /// Its tokens live for an hour.
    pub(crate) fn start() -> Self {
        Self::start_with(Duration::from_secs(3600))
    }

    /// Its tokens live so long.
    pub(crate) fn start_with(lifetime: Duration) -> Self {
        let (sender, address) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                sender.send(listener.local_addr()).expect("a listener");
                let issued = Arc::new(AtomicU64::new(0));
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    tokio::spawn(serve(stream, Arc::clone(&issued), lifetime));
                }
            });
        });
        let address = address.recv().expect("a thread").expect("an address");
        Self { address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }
}

async fn serve(stream: TcpStream, issued: Arc<AtomicU64>, lifetime: Duration) {
    stream.set_nodelay(true).expect("a TCP socket");
    let answer = service_fn(|request: http::Request<Incoming>| {
        let number = issued.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = request.into_body().collect().await;
            let response = Response::builder()
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CACHE_CONTROL, "no-store")
                .body(Full::new(Bytes::from(body(number, lifetime))))
                .expect("a response");
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // A client that closes is no concern of the server's.
    let _ = connection.await;
}

fn body(number: u64, lifetime: Duration) -> String {
    let token = format!("{number:0>TOKEN_LENGTH$}");
    let seconds = lifetime.as_secs();
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#)
}
