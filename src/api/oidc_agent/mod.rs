//! Answers what the clients of oidc-agent, such as `oidc-token`, ask at `$OIDC_SOCK`: one request
//! per connection.
//!
//! An account is a token of ours, and its issuer is the one of the token's client. Who may read
//! what is decided as it is on the HTTP socket.

mod answer;
mod channel;

use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::access::Caller;
use super::connection::{Activity, Server, WriteLimited};
use answer::{Failure, answer};
use channel::{Channel, ChannelError};

/// Serves one connection, which ends in bounded time.
pub(super) async fn run(server: Server, stream: UnixStream, activity: Activity) {
    let caller = Caller::of(&stream, server.own_uid);
    let mut channel = Channel::new(WriteLimited::new(stream, WRITE_TIMEOUT));
    let Ok(received) = timeout(REQUEST_TIMEOUT, channel.receive()).await else {
        return;
    };
    let _busy = activity.begin(&server.finished);
    let reply = match received {
        Ok(request) => answer(&server, &caller, &request).await,
        // Nobody is left to be told.
        Err(ChannelError::Ended(_)) => return,
        Err(error) => Failure::new(error.to_string(), None).to_json(),
    };
    // Whether the client still reads is its own affair.
    let _ = channel.send(&reply).await;
}

/// How long a client may take from the connection to the end of the request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may read nothing of the answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
