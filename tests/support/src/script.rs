//! A loopback server that answers as a script says, byte by byte where it has to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection brought it, from 0.
    pub connection: usize,
    /// Request line and header lines, names in lower case, each ended by a line feed.
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .find_map(|(n, value)| (n == name).then(|| value.into_owned()))
    }
}

/// What to do about a request.
pub enum Act {
    /// Close without an answer.
    Close,
    /// A status line and headers, then bytes without end.
    Endless(&'static str),
    /// The beginning of an answer, a byte at a time, for ever.
    Drip,
    /// This much of an answer, then a reset.
    Partial(String),
    /// An answer; the connection stays open.
    Answer(String),
    /// The same, with a body that is no text.
    Bytes(Vec<u8>),
}

/// A whole answer.
pub fn answer(status: u16, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Answer(format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ))
}

pub struct Server {
    pub address: SocketAddr,
    pub requests: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        Self::start_tls(None, script).await
    }

    pub async fn start_tls(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Seen) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        let script = Arc::new(script);
        let connections = AtomicUsize::new(0);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = connections.fetch_add(1, Ordering::Relaxed);
                let (sender, script, tls) = (sender.clone(), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, connection, sender, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, sender, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            requests,
            task,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn seen(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

/// A server on a runtime of its own, for a test that has none.
#[allow(dead_code, reason = "some tests have one")]
pub fn serving(
    script: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) -> (tokio::runtime::Runtime, Server) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::start(script));
    (runtime, server)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    connection: usize,
    sender: mpsc::UnboundedSender<Seen>,
    script: &(impl Fn(&Seen) -> Act + Sync),
) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read(&mut stream, connection).await {
        sender.send(seen.clone()).ok();
        match script(&seen) {
            Act::Answer(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok();
                stream.flush().await.ok();
            }
            Act::Bytes(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.flush().await.ok();
            }
            Act::Close => return,
            Act::Drip => {
                stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await.ok();
                while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
            Act::Endless(head) => {
                stream.write_all(head.as_bytes()).await.ok();
                while stream.write_all(&[b' '; 65536]).await.is_ok() {}
            }
            Act::Partial(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok();
                stream.flush().await.ok();
                return;
            }
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, connection: usize) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?.replace("\r\n", "\n");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        connection,
        head,
        body: String::from_utf8(body).ok()?,
    })
}
