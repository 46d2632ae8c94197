//! Sending the clients of a node to others.

use std::task::Waker;

use super::Hub;
use crate::proto::{AttachmentKey, Close};

impl Hub {
    /// From now on no client is attached but those that are: others are told this, until they are told
    /// something else.
    pub(crate) fn turn_away(&self, close: Close) {
        self.state.lock().closing = Some(close);
    }

    /// What clients are told that come now, if none may be attached any more.
    pub(crate) fn turned_away(&self) -> Option<Close> {
        self.state.lock().closing.clone()
    }

    /// The attachments that are not over.
    pub(crate) fn attachments(&self) -> Vec<AttachmentKey> {
        let state = self.state.lock();
        let lasting = state.slots.iter().filter(|(_, slot)| slot.ended.is_none());
        lasting.map(|(&key, _)| key).collect()
    }

    /// Tells one client to go elsewhere, if it is attached still.
    pub(crate) fn send_away(&self, key: AttachmentKey, close: Close) {
        let mut state = self.state.lock();
        let waker = state.slots.get_mut(&key).and_then(|slot| {
            slot.ended.get_or_insert(close);
            slot.waker.take()
        });
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Forgets what the runtime knows of an attachment. Whether its client was sent away.
    pub(super) fn let_go(&self, key: AttachmentKey) -> bool {
        let mut state = self.state.lock();
        let slot = state.slots.remove(&key);
        if let Some(connection) = slot.as_ref().and_then(|slot| slot.connection) {
            self.counters.ended(Some(connection.transport));
        }
        if state.closing.is_none() {
            return false;
        }
        if state.slots.is_empty() {
            self.emptied.notify_waiters();
        }
        slot.is_some_and(|slot| slot.ended.is_some())
    }

    /// Waits until no client is attached, after they were sent away.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn until_empty(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.state.lock().slots.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Tells every client to go elsewhere, and those that are still to come.
    pub(crate) fn end_attachments(&self, close: &Close) {
        let mut state = self.state.lock();
        let mut wakers = Vec::new();
        state.closing = Some(close.clone());
        for slot in state.slots.values_mut() {
            slot.ended.get_or_insert_with(|| close.clone());
            wakers.extend(slot.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
