//! What the clients of oidc-agent ask at `$OIDC_SOCK`, such as `oidc-token`: one request per connection.
//!
//! An account is a token of ours, and its issuer that of the token's client. Who may read what is decided
//! as it is on the HTTP socket.

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
    let caller = Caller::of(&stream, server.own_uid());
    let mut channel = Channel::new(WriteLimited::new(stream, WRITE_TIMEOUT));
    let Ok(received) = timeout(REQUEST_TIMEOUT, channel.receive()).await else {
        return;
    };
    let _busy = server.begin(&activity);
    let reply = match received {
        Ok(request) => answer(&server, &caller, &request).await,
        // Nobody is left to be told.
        Err(ChannelError::Ended(_)) => return,
        Err(error) => Failure::new(error.to_string(), None).to_json(),
    };
    // Whether the client still reads is its own affair.
    let _ = channel.send(&reply).await;
}

/// From the connection to the end of the request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
