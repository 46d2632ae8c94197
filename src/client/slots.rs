//! How many clients may be connected, and what becomes of those who are too many.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::debug;

use super::{Room, poller::Connection};

/// How many clients that are too many are told so at the same time. Further ones are let go without
/// a word.
const MAX_REFUSALS: usize = 64;

/// How long telling a client may take that it is one too many.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);

/// What a client is told that is one too many, whatever it asks.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Connection: close\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 72\r\n\
    Retry-After: 5\r\n\
    \r\n\
    this node has as many connections as it may; another, or waiting, helps\n";

/// The places for clients of a node. Cheap to clone: a clone is of the same places.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    connections: Room,
    refusals: Arc<Semaphore>,
}

/// A client's place, and where it came in. It is free again once all clones are gone.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// The address that the client has connected to, if the system says.
    pub(crate) local: Option<IpAddr>,
    /// Where it is connected from, if the system says.
    pub(crate) remote: Option<SocketAddr>,
    /// Whether it is connected over TLS.
    pub(crate) is_secure: bool,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Slot {
    /// The connection, which is over once nobody holds its place any more.
    pub(super) fn connection(&self) -> Connection {
        let permit: Arc<dyn Send + Sync> = Arc::clone(&self._permit) as _;
        Arc::downgrade(&permit)
    }
}

impl Slots {
    /// Places for so many connections.
    pub(crate) fn new(connections: usize) -> Self {
        let refusals = Semaphore::new(MAX_REFUSALS);
        Self { connections: Room::new(connections), refusals: Arc::new(refusals) }
    }

    /// Places for so many connections from now on. Those that there are stay.
    pub(crate) fn resize(&self, connections: usize) {
        self.connections.resize(connections);
    }

    /// A place for this client, if there is one.
    pub(crate) fn take(&self, stream: &TcpStream, is_secure: bool) -> Option<Slot> {
        let permit = self.connections.take(1)?;
        let local = stream.local_addr().ok().map(|addr| addr.ip());
        let remote = stream.peer_addr().ok();
        Some(Slot { local, remote, is_secure, _permit: Arc::new(permit) })
    }

    /// Tells a client that there is no place for it.
    pub(crate) async fn refuse(self, mut stream: TcpStream) {
        let Ok(_permit) = self.refusals.try_acquire() else {
            return;
        };
        let told = async {
            stream.write_all(REFUSAL).await?;
            stream.shutdown().await?;
            // Closed with something unread, a connection takes what was written with it.
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let told = tokio::time::timeout(REFUSAL_PATIENCE, told).await;
        debug!(told = matches!(told, Ok(Ok(()))), "refused, being one too many");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
