//! What a simulated client knows, whichever connection it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    task::Waker,
};

use crate::{
    id::{Cause, MessageId, PushKey, SessionId},
    message::Message,
    proto::{Close, Entry},
};

/// What a simulated client knows.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) session: Option<SessionId>,
    /// Which run of the client its pushes are of: see [`PushKey::Counted`].
    epoch: u64,
    /// What is not acknowledged yet, by its number.
    outbox: BTreeMap<u64, Message>,
    next_number: u64,
    /// The number of the next that this connection is to push.
    next_to_push: u64,
    pub(super) acknowledged: usize,
    pub(super) refused: usize,
    pub(super) received: Vec<Message>,
    ids: BTreeSet<MessageId>,
    causes: BTreeSet<Cause>,
    pub(super) gaps: usize,
    pub(super) expired: usize,
    pub(super) is_connected: bool,
    pub(super) ended: Option<Close>,
    /// Who pushes, and may have something to push.
    pub(super) pusher: Option<Waker>,
}

impl Seat {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            session: None,
            epoch,
            outbox: BTreeMap::new(),
            next_number: 1,
            next_to_push: 1,
            acknowledged: 0,
            refused: 0,
            received: Vec::new(),
            ids: BTreeSet::new(),
            causes: BTreeSet::new(),
            gaps: 0,
            expired: 0,
            is_connected: false,
            ended: None,
            pusher: None,
        }
    }

    /// There is a connection, which is `session`'s.
    pub(super) fn handle_attached(&mut self, session: SessionId, epoch: u64) {
        let before = self.session.replace(session);
        if before.is_some_and(|before| before != session) {
            self.expired += 1;
            self.epoch = epoch; // What it pushes to the new session counts from one.
            let waiting = std::mem::take(&mut self.outbox);
            self.outbox = (1..).zip(waiting.into_values()).collect();
            self.next_number = 1 + self.outbox.len() as u64;
        }
        // What was not acknowledged is pushed again.
        (self.next_to_push, self.is_connected) = (1, true);
    }

    pub(super) fn push(&mut self, message: Message) -> Option<Waker> {
        self.outbox.insert(self.next_number, message);
        self.next_number += 1;
        self.pusher.take()
    }

    /// The next that this connection is to push.
    pub(super) fn to_push(&self) -> Option<(PushKey, Message)> {
        let (&number, message) = self.outbox.range(self.next_to_push..).next()?;
        Some((PushKey::Counted { epoch: self.epoch, number }, message.clone()))
    }

    /// This connection has pushed it.
    pub(super) fn handle_pushed(&mut self, key: &PushKey) {
        if let PushKey::Counted { number, .. } = *key {
            self.next_to_push = number + 1;
        }
    }

    /// It will never be taken.
    pub(super) fn handle_refused(&mut self, key: &PushKey) {
        self.refused += usize::from(self.remove(key));
    }

    pub(super) fn handle_acknowledged(&mut self, key: &PushKey) {
        self.acknowledged += usize::from(self.remove(key));
    }

    fn remove(&mut self, key: &PushKey) -> bool {
        match *key {
            PushKey::Counted { epoch, number } if epoch == self.epoch => {
                self.outbox.remove(&number).is_some()
            }
            _ => false,
        }
    }

    /// How many pushes are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.outbox.len()
    }

    /// A message came, perhaps not for the first time.
    pub(super) fn handle_message(&mut self, entry: &Entry) {
        let is_first = self.ids.insert(entry.id())
            && entry.cause().is_none_or(|cause| self.causes.insert(cause.clone()));
        if is_first {
            self.received.push(entry.message().clone());
        }
    }
}
