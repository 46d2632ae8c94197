//! Carries the messages of chitchat, which takes it for a socket.
//!
//! chitchat sends and receives in the same task in which it judges who is alive, so neither may
//! ever make it wait for a peer. What finds no room is dropped: gossip repeats itself.

use std::{
    collections::BTreeSet,
    future::{Future, pending},
    net::SocketAddr,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use chitchat::{
    ChitchatMessage, Serializable,
    transport::{Socket, Transport},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tracing::trace;

use super::traffic::Counts;

/// A message for chitchat, of the member that advertises this address.
pub(super) type Incoming = (SocketAddr, ChitchatMessage);

/// A transport that is opened once.
pub(super) struct Carrier(Mutex<Option<Channels>>);

impl Carrier {
    /// Carries what comes from `incoming`, and what goes to `outgoing`.
    pub(super) fn new(
        incoming: mpsc::Receiver<Incoming>,
        outgoing: mpsc::Sender<(SocketAddr, Bytes)>,
        farewell: Arc<Farewell>,
        counts: Arc<Counts>,
    ) -> Self {
        Self(Mutex::new(Some(Channels { incoming, outgoing, farewell, counts })))
    }
}

#[async_trait]
impl Transport for Carrier {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let channels = self.0.lock().take().expect("chitchat opens its transport once");
        Ok(Box::new(channels))
    }
}

struct Channels {
    incoming: mpsc::Receiver<Incoming>,
    outgoing: mpsc::Sender<(SocketAddr, Bytes)>,
    farewell: Arc<Farewell>,
    counts: Arc<Counts>,
}

#[async_trait]
impl Socket for Channels {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let bytes: Bytes = message.serialize_to_vec().into();
        let sent_bytes = bytes.len();
        match self.outgoing.try_send((to, bytes)) {
            // What we know of ourselves goes with both.
            Ok(()) => {
                self.counts.handle_sent(sent_bytes);
                match message {
                    ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. } => {
                        self.farewell.handle_told(to);
                    }
                    ChitchatMessage::Syn { .. } | ChitchatMessage::BadCluster => {}
                }
            }
            Err(_) => trace!(%to, "no room for a message of gossip"),
        }
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        match self.incoming.recv().await {
            Some(incoming) => Ok(incoming),
            // An error would stop chitchat, which its task does in its own time.
            None => pending().await,
        }
    }
}

/// The members that have yet to be told that this node leaves.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    untold: Mutex<BTreeSet<SocketAddr>>,
    told: Notify,
}

impl Farewell {
    /// These are to be told. The future is ready when all of them have been.
    pub(super) fn begin(&self, untold: BTreeSet<SocketAddr>) -> impl Future<Output = ()> + Send {
        *self.untold.lock() = untold;
        async {
            loop {
                let told = self.told.notified();
                if self.untold.lock().is_empty() {
                    return;
                }
                told.await;
            }
        }
    }

    fn handle_told(&self, addr: SocketAddr) {
        let mut untold = self.untold.lock();
        if untold.remove(&addr) && untold.is_empty() {
            self.told.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[tokio::test]
    async fn a_full_channel_never_makes_chitchat_wait() {
        let (_sender, incoming) = mpsc::channel(1);
        let (outgoing, mut sent) = mpsc::channel(1);
        let carrier = Carrier::new(incoming, outgoing, Arc::default(), Arc::default());
        let mut socket = carrier.open(addr(1)).await.unwrap();
        for to in 1..=3 {
            socket.send(addr(to), ChitchatMessage::BadCluster).await.unwrap();
        }
        assert_eq!(sent.recv().await.unwrap().0, addr(1));
        assert!(sent.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_farewell_is_over_when_all_were_told() {
        let farewell = Farewell::default();
        farewell.begin(BTreeSet::new()).await;
        let over = farewell.begin(BTreeSet::from([addr(1), addr(2)]));
        let told = async {
            farewell.handle_told(addr(3));
            farewell.handle_told(addr(1));
            assert_eq!(farewell.untold.lock().len(), 1);
            farewell.handle_told(addr(2));
        };
        tokio::join!(over, told);
    }
}
