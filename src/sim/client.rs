//! A simulated client, as a test sees it.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{connection::Wish, seat::Seat};
use crate::{id::SessionId, message::Message, proto::Close};

/// A client of a simulated cluster. Cheap to clone: a clone is the same client.
///
/// What it is told to do, it does while the cluster [runs](super::Cluster::run_for).
#[derive(Clone)]
pub struct Client {
    seat: Arc<Mutex<Seat>>,
    wish: watch::Sender<Wish>,
    nodes: usize,
}

impl Client {
    pub(super) fn new(epoch: u64, nodes: usize) -> Self {
        let wish = watch::Sender::new(Wish::Away);
        Self { seat: Arc::new(Mutex::new(Seat::new(epoch))), wish, nodes }
    }

    pub(super) fn seat(&self) -> &Mutex<Seat> {
        &self.seat
    }

    pub(super) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }

    /// Pushes a message, again and again until it is acknowledged.
    pub fn push(&self, message: impl Into<Message>) {
        let pusher = self.seat.lock().push(message.into());
        if let Some(pusher) = pusher {
            pusher.wake();
        }
    }

    /// Connects to a node, or moves to it. What the client had, it keeps.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn connect(&self, node: usize) {
        assert!(node < self.nodes, "there are {} nodes, counted from 0", self.nodes);
        self.wish.send_replace(Wish::Connected(node));
    }

    /// Loses its connection, until it is told to [connect](Self::connect).
    pub fn disconnect(&self) {
        self.wish.send_replace(Wish::Away);
    }

    /// Ends its session.
    pub fn close(&self) {
        self.wish.send_replace(Wish::Over);
    }

    /// The messages that it got, each once, in the order in which they came.
    pub fn received(&self) -> Vec<Message> {
        self.seat.lock().received.clone()
    }

    /// How many of its pushes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.seat.lock().acknowledged
    }

    /// How many of its pushes are not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.seat.lock().unacknowledged()
    }

    /// How many of its pushes will never be taken, because they are too large.
    pub fn refused(&self) -> usize {
        self.seat.lock().refused
    }

    /// How many gaps it was told of.
    pub fn gaps(&self) -> usize {
        self.seat.lock().gaps
    }

    /// How often it came back and its session was over, so that it began another.
    pub fn expired(&self) -> usize {
        self.seat.lock().expired
    }

    /// Its session, once it has one.
    pub fn session(&self) -> Option<SessionId> {
        self.seat.lock().session
    }

    /// Whether it has a connection.
    pub fn is_connected(&self) -> bool {
        self.seat.lock().is_connected
    }

    /// Why it was told not to come back, if it was.
    pub fn ended(&self) -> Option<Close> {
        self.seat.lock().ended.clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("wish", &*self.wish.borrow()).finish_non_exhaustive()
    }
}
