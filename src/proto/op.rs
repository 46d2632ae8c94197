//! What a node writes into its journal: the operations whose fold is the replica.

use crate::{
    id::{Cause, Epoch, MessageId, NodeId, PushKey, SessionId, TopicName},
    message::Message,
    proto::{CloseReason, Detachment, Position, Recipients, SessionState, Stamp},
};

/// One operation of a journal. It happened; nobody refuses it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// A client's push was taken: the handler will be told of it, on whichever node, and it need
    /// not be sent again.
    Accepted {
        /// Who sent it.
        session: SessionId,
        /// What its client calls it.
        key: PushKey,
        /// What it says.
        message: Message,
    },
    /// A session has had all that it was still to get of a topic that it left: it is no member any
    /// more. Only the node that owns the session says so.
    Departed {
        /// Who read.
        session: SessionId,
        /// What it read.
        topic: TopicName,
        /// When it left: if it has joined again since, it stays.
        left: Stamp,
    },
    /// What follows in this journal was made by who knew of another operation: nobody applies it
    /// earlier. So what a client publishes before and after it moved is read in that order.
    Follows {
        /// The operation, mostly of another journal.
        after: MessageId,
    },
    /// The handler has returned from a push.
    Handled {
        /// Who sent it.
        session: SessionId,
        /// What its client calls it.
        key: PushKey,
    },
    /// A session reads a topic, from a position on.
    Joined {
        /// Who reads.
        session: SessionId,
        /// The session's epoch.
        epoch: Epoch,
        /// What it reads.
        topic: TopicName,
        /// Where it begins.
        from: Position,
    },
    /// A session reads a topic up to a position, and no further.
    Left {
        /// Who read.
        session: SessionId,
        /// The session's epoch.
        epoch: Epoch,
        /// What it read.
        topic: TopicName,
        /// Where it stops.
        until: Position,
    },
    /// A message was published. Its id is where this operation stands.
    Published {
        /// Where.
        topic: TopicName,
        /// For whom.
        to: Recipients,
        /// What.
        message: Message,
        /// The push that made a handler publish it, if one did.
        cause: Option<Cause>,
    },
    /// The node that writes this owns a session from now on, unless a later claim exists.
    SessionClaimed(SessionState),
    /// A session is over for good, whoever claims it: its name is never used again.
    SessionClosed {
        /// Which.
        session: SessionId,
        /// The node that is to tell its handler.
        owner: NodeId,
        /// Why.
        reason: CloseReason,
    },
    /// The clients of a topic's sessions are to connect anew, wherever they are; if it is the private
    /// topic of a session, that session's is. It concerns those that are connected when it is heard.
    Resumed {
        /// Which.
        topic: TopicName,
    },
    /// A session's attachment is gone.
    SessionDetached {
        /// Which.
        session: SessionId,
        /// The epoch of that attachment.
        epoch: Epoch,
        /// Why.
        why: Detachment,
    },
    /// The handler has had its first word about a session, and need not have it again.
    SessionReady {
        /// Which.
        session: SessionId,
    },
    /// A topic is closed, or open again: see [`Closure`](super::Closure). The sessions of one that is closed leave it,
    /// each by its owner.
    TopicClosure {
        /// Which.
        topic: TopicName,
        /// How many such decisions about it were known to who made this one.
        turn: u64,
        /// Whether it is closed.
        is_closed: bool,
    },
    /// A message is taken back: it is no longer for some who have not got it yet.
    Withdrawn {
        /// Where it was published.
        topic: TopicName,
        /// Which.
        id: MessageId,
        /// From whom.
        from: Recipients,
    },
    /// An operation of a later version. It counts, and is passed on, but changes nothing here.
    Unknown,
}

impl Op {
    /// The session that must be known for this to change anything.
    pub fn concerned(&self) -> Option<SessionId> {
        match self {
            Self::Accepted { session, .. }
            | Self::Departed { session, .. }
            | Self::Handled { session, .. }
            | Self::Joined { session, .. }
            | Self::Left { session, .. }
            | Self::SessionDetached { session, .. }
            | Self::SessionReady { session } => Some(*session),
            Self::Follows { .. }
            | Self::Published { .. }
            | Self::Resumed { .. }
            | Self::SessionClaimed(_)
            | Self::SessionClosed { .. }
            | Self::TopicClosure { .. }
            | Self::Withdrawn { .. }
            | Self::Unknown => None,
        }
    }
}
