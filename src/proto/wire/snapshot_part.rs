//! A piece of a snapshot.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    id::{NodeId, Seq, TopicName},
    proto::{Entry, Position, SessionState},
};

/// One part of a snapshot: the parts may arrive in any order, and count once all are there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SnapshotPart {
    /// The last part.
    End {
        /// All that the sender had seen, of every origin, when it made the snapshot.
        view: Position,
    },
    /// What a topic lost of the origin before everybody had it.
    Lost {
        /// The topic.
        topic: TopicName,
        /// Messages of the origin before this one may be missing.
        before: Seq,
    },
    /// A message of the origin that is still kept.
    Message {
        /// Where it was published.
        topic: TopicName,
        /// The message.
        entry: Arc<Entry>,
    },
    /// A session, whoever owns it.
    Session(SessionState),
}

impl SnapshotPart {
    /// Forgets origins that the node has forgotten which this came to.
    pub fn forget_all(&mut self, origins: &BTreeSet<NodeId>) {
        match self {
            Self::End { view } => view.forget_all(origins),
            Self::Session(state) => state.forget_all(origins),
            Self::Lost { .. } | Self::Message { .. } => {}
        }
    }
}
