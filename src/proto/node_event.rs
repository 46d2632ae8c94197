//! What happens on a node, or is heard of there, for those who follow it.

use super::{CloseReason, Detachment, Ending};
use crate::id::{NodeId, SessionId, TopicName};

/// Something that happened, for those who [follow](crate::proto::Core::set_followed) what does.
///
/// What concerns sessions of other nodes is told as it is heard of, and of other nodes' topics what
/// this one has of them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A session's client is connected.
    SessionAttached {
        /// Which session.
        session: SessionId,
        /// To which node.
        node: NodeId,
        /// The path that it asked for.
        path: Box<str>,
        /// Whether the session was there before.
        resumed: bool,
    },
    /// A session's client is not connected any more.
    SessionDetached {
        /// Which session.
        session: SessionId,
        /// To which node it was connected.
        node: NodeId,
        /// Why.
        why: Detachment,
    },
    /// A session is over.
    SessionClosed {
        /// Which session.
        session: SessionId,
        /// The node that it belonged to.
        node: NodeId,
        /// Why.
        reason: CloseReason,
    },
    /// A client of this node was told that messages which it was to get are gone.
    Gap {
        /// Which session's.
        session: SessionId,
        /// Of which topic.
        topic: TopicName,
    },
    /// There is a topic on this node from now on.
    TopicOpened(TopicName),
    /// A topic has neither sessions nor messages any more on this node.
    TopicClosed(TopicName),
    /// Messages went before all had them who were to get them. Those of a second are told together.
    Dropped {
        /// Of which topic.
        topic: TopicName,
        /// How they ended.
        ending: Ending,
        /// How many.
        messages: u64,
    },
    /// So many things happened that some were not told: this many.
    Missed(u64),
}
