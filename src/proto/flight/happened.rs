//! What can happen to a session.

use crate::{
    id::{NodeId, TopicName},
    proto::{CloseReason, Detachment, Gap, Position},
};

/// Something that happened to a session.
#[derive(Debug)]
pub(in crate::proto) enum Happened {
    /// Its client is connected to this node.
    Attached {
        /// Whether it was there before.
        resumed: bool,
        /// The other node that it belonged to, if it did.
        from: Option<NodeId>,
    },
    /// Its client's connection to this node is gone.
    Detached(Detachment),
    /// Another node has claimed it, or this one claimed it again for a newer connection.
    Claimed {
        /// Who owns it now.
        by: NodeId,
    },
    /// This node has claimed it, as the one is dead that it belonged to.
    Adopted {
        /// Which.
        from: NodeId,
    },
    /// It reads a topic.
    Joined {
        topic: TopicName,
        /// From here on; `None` if this node heard only later that it does.
        from: Option<Box<Position>>,
    },
    /// It reads a topic no longer.
    Left {
        topic: TopicName,
        /// It gets what lies before.
        until: Box<Position>,
    },
    /// Its connection was told of a gap.
    Gap(Box<Gap>),
    /// It is over.
    Closed(CloseReason),
}

const _: () = assert!(size_of::<Happened>() <= 32);
