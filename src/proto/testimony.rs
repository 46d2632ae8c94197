//! What one node can say of whether a session got a message, and why.

use serde::{Deserialize, Serialize};

use super::{CloseReason, Detachment, Ending};
use crate::id::{MessageId, NodeId, SessionId, TopicName};

/// What one node can say of whether a session got a message. Those of several nodes make an
/// [`Explanation`](super::Explanation).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Testimony {
    /// Who says so.
    pub node: NodeId,
    /// Of which message.
    pub message: MessageId,
    /// Of which session.
    pub session: SessionId,
    /// What became of the message on this node.
    pub kept: Kept,
    /// Where the message was published, if this node knows.
    pub topic: Option<TopicName>,
    /// When this node stored the message, in milliseconds since the Unix epoch.
    pub stored_ms: Option<u64>,
    /// Whether the node that the message was published on is alive, as far as this one knows.
    pub origin_lives: bool,
    /// The other nodes that are alive and have stored the message, as far as this one has heard.
    pub stored_on: Vec<NodeId>,
    /// Whether the message was for this session, if it was in the topic; `None` if that is not known.
    pub is_for: Option<bool>,
    /// Whether this node has heard of the node that the message is named after.
    pub knows_origin: bool,
    /// Whether the message was taken back from the session, as far as is remembered.
    pub is_withdrawn: bool,
    /// The node that the session belongs to, if it is known.
    pub owner: Option<NodeId>,
    /// Why the session's client is away, if it is known to be.
    pub away: Option<Detachment>,
    /// Why the session is over, if it is known to be.
    pub closed: Option<CloseReason>,
    /// Whether the session was in the topic when the message was published there.
    pub seat: Seat,
    /// Whether the session is in the topic and beyond the message: it has it, was told that it is
    /// gone, or joined behind it.
    pub is_past: bool,
    /// Whether the session's connection to this node was given the message, or something behind it.
    pub is_given: bool,
    /// Whether the message was lost to this node before it heard of it.
    pub is_lost: bool,
    /// Whether all joins, leaves and gaps are remembered since this node stored the message.
    pub is_complete: bool,
    /// Since when they are remembered, in milliseconds since the Unix epoch.
    pub complete_ms: Option<u64>,
    /// Whether all is remembered that sessions of this node were given since it stored the message.
    pub remembers_given: bool,
    /// Whether all is remembered that filters kept from sessions of this node since then.
    pub remembers_withheld: bool,
    /// What happened, as far as it matters and is remembered, the first first. At most 100 things.
    pub steps: Vec<Step>,
}

impl Testimony {
    /// How many steps are told. At the limit the first are left out that say who came and went.
    pub const MAX_STEPS: usize = 100;
}

/// What became of a message on a node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Kept {
    /// The node keeps it.
    Still,
    /// The node has dropped it.
    Ended(Ending),
    /// The node has never had it.
    Unheard,
    /// The node may have had it, and does not remember.
    Forgotten,
}

/// Whether a session was in a topic when a message was published there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Seat {
    /// It was.
    In,
    /// It joined behind the message.
    Behind,
    /// It left before the message.
    Left,
    /// It has not been in it.
    Never,
    /// That is not remembered.
    Unknown,
}

/// Something that happened on the way of a message to a session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// When, in milliseconds since the Unix epoch, by the clock of the node.
    pub at_ms: u64,
    /// Where.
    pub node: NodeId,
    /// What.
    pub what: What,
}

impl Step {
    pub(super) fn new(at_ms: u64, node: NodeId, what: What) -> Self {
        Self { at_ms, node, what }
    }
}

/// What happened on the way of a message to a session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum What {
    /// The node stored the message, which was published there.
    Accepted,
    /// The node stored the message, which came from another.
    Stored,
    /// The node dropped the message.
    Ended(Ending),
    /// The session's client was connected.
    Attached {
        /// Whether the session was there before.
        resumed: bool,
        /// The other node that it belonged to until then, if it did.
        from: Option<NodeId>,
    },
    /// The session's client was not connected any more.
    Detached(Detachment),
    /// The session went over to another node.
    Claimed {
        /// To which.
        by: NodeId,
    },
    /// The node took the session over from one that was dead.
    Adopted {
        /// Which.
        from: NodeId,
    },
    /// The session joined the topic.
    Joined {
        /// Whether that was behind the message; `None` if it is not known when it was.
        behind: Option<bool>,
    },
    /// The session left the topic.
    Left {
        /// Whether that was before the message.
        before: bool,
    },
    /// The session's client was told that messages of the topic are gone.
    Gap {
        /// Whether the message is one of those.
        over: bool,
    },
    /// The message was handed to the session's connection.
    Given,
    /// A filter did not let the message pass to the session.
    Withheld,
    /// The session's client confirmed that it has the message.
    Confirmed,
    /// The session was closed.
    Closed(CloseReason),
}

impl What {
    /// Whether it only says who came and went.
    pub(super) fn is_presence(self) -> bool {
        matches!(self, Self::Attached { from: None, .. } | Self::Detached(_) | Self::Claimed { .. })
    }
}
