//! Keeps writes from waiting for ever, and from going on for long: a client that stops reading loses
//! its connection, and one that asks much at once is answered in turns with the others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep};

/// A Unix stream with a limit on how long one write may be blocked.
#[derive(Debug)]
pub(in crate::api) struct WriteLimited {
    stream: UnixStream,
    limit: Duration,
    /// The timer of a write, while it is blocked.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Something has been written since the last read: what is written next are further answers to
    /// requests that came at once.
    written: bool,
}

impl WriteLimited {
    /// Wraps `stream`. A write that is blocked for `limit` fails with [`io::ErrorKind::TimedOut`].
    #[must_use]
    pub(in crate::api) const fn new(stream: UnixStream, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            blocked: None,
            written: false,
        }
    }

    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut UnixStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            self.blocked = None;
            return Poll::Ready(written);
        }
        let limit = self.limit;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(blocked.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for WriteLimited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.written &= buf.filled().len() == before;
        read
    }
}

// Without vectored writes hyper puts head and body into one buffer: most answers are small, and so
// written faster.
impl AsyncWrite for WriteLimited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = self.limited(cx, |stream, cx| stream.poll_write(cx, buf));
        self.written = written.is_ready();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.limited(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.limited(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}
