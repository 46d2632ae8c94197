//! The posts that were handed on to a peer.

use std::collections::{BTreeMap, BTreeSet};

use super::{PostKey, wire::Encoded};

/// How many posts a peer is asked to take at a time. At the limit a further one is to be posted
/// again later.
const MAX_HANDED_ON: usize = 256;

/// How many bytes of posts wait to be sent to a peer. At the limit a further one is to be posted
/// again later.
const MAX_HANDED_ON_BYTES: usize = 8 << 20;

/// The posts that were handed on to a peer, and that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct HandedOn {
    /// Those that it is to answer.
    unanswered: BTreeSet<PostKey>,
    /// Those of them that are not sent yet, in the order in which they were made.
    waiting: BTreeMap<PostKey, Encoded>,
    /// How long these are together.
    waiting_bytes: usize,
}

impl HandedOn {
    /// One more is to be sent.
    pub(super) fn insert(&mut self, key: PostKey, frame: Encoded) {
        self.unanswered.insert(key);
        self.waiting_bytes += frame.len();
        self.waiting.insert(key, frame);
    }

    /// One is answered, or nobody waits for it any more, in which case it need not be sent. Whether
    /// somebody did until now.
    pub(super) fn remove(&mut self, key: PostKey) -> bool {
        if let Some(frame) = self.waiting.remove(&key) {
            self.waiting_bytes -= frame.len();
        }
        self.unanswered.remove(&key)
    }

    /// What is to be sent next.
    pub(super) fn pop(&mut self) -> Option<Encoded> {
        let (_, frame) = self.waiting.pop_first()?;
        self.waiting_bytes -= frame.len();
        Some(frame)
    }

    /// Whether one more may be handed on.
    pub(super) fn has_room(&self) -> bool {
        self.unanswered.len() < MAX_HANDED_ON && self.waiting_bytes < MAX_HANDED_ON_BYTES
    }

    /// Those that were not answered.
    pub(super) fn into_unanswered(self) -> impl Iterator<Item = PostKey> {
        self.unanswered.into_iter()
    }
}
