//! A piece of a snapshot.

use std::sync::Arc;

use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::{Closed, Closure, Entry, InboxMemory, OpenPush, Position, Recipients, SessionState},
};

/// One part of a snapshot: the parts may arrive in any order, and count once all are there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SnapshotPart {
    /// A session that is over, though what made it may be heard of later.
    Closed {
        /// Which.
        session: SessionId,
        /// What is over of it.
        closed: Closed,
    },
    /// That a topic is closed, or was and is open again.
    Closure {
        /// The topic.
        topic: TopicName,
        /// What was decided last.
        closure: Closure,
    },
    /// The last part.
    End {
        /// All that the sender knew, of every origin, when it made the snapshot.
        view: Position,
    },
    /// What a session's client has pushed, but for what is open.
    Inbox {
        /// Whose.
        session: SessionId,
        /// What is remembered of it.
        memory: InboxMemory,
    },
    /// What a topic lost before everybody had it.
    Lost {
        /// The topic.
        topic: TopicName,
        /// Messages before this may be missing.
        before: Position,
    },
    /// A message that is still kept.
    Message {
        /// Where it was published.
        topic: TopicName,
        /// The message.
        entry: Arc<Entry>,
    },
    /// A push that the handler has not returned from.
    Push {
        /// Who sent it.
        session: SessionId,
        /// The push.
        push: OpenPush,
    },
    /// A session, whoever owns it.
    Session(SessionState),
    /// That a message was taken back which is still kept, or was not heard of yet.
    Withdrawn {
        /// Where it was published.
        topic: TopicName,
        /// Which.
        id: MessageId,
        /// From whom.
        from: Recipients,
    },
}

impl SnapshotPart {
    /// What every part takes beside what follows, in bytes.
    const OVERHEAD_BYTES: usize = 512;

    /// How much memory it takes, in bytes, or more than that.
    pub(in crate::proto) fn cost(&self) -> usize {
        let name = |topic: &TopicName| topic.as_str().len();
        let rest = match self {
            Self::Closed { .. } => 0,
            Self::Closure { topic, .. } => name(topic),
            Self::End { view } => view.cost(),
            Self::Inbox { memory, .. } => memory.cost(),
            Self::Lost { topic, before } => name(topic) + before.cost(),
            Self::Message { entry, .. } => entry.cost(),
            Self::Push { push, .. } => push.message.len(),
            Self::Session(state) => state.cost(),
            Self::Withdrawn { topic, from, .. } => {
                name(topic) + size_of::<SessionId>() * from.named()
            }
        };
        Self::OVERHEAD_BYTES + rest
    }
}
