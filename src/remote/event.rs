//! What a client tells its application.

use crate::{
    id::{MessageId, NodeId, SessionId, TopicName},
    message::Message,
};

/// What a client tells its application.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message.
    Message(Received),
    /// Messages of this topic that the session was to get are gone, because a limit was hit. It
    /// goes on behind them. What is missing lies between two positions, given as tokens.
    Gap {
        /// The topic.
        topic: TopicName,
        /// What the session had.
        from: String,
        /// Where it goes on.
        to: String,
    },
    /// The connection was lost, and another is sought. Nothing is lost by that yet.
    Interrupted {
        /// What happened, for people.
        reason: String,
    },
    /// The session goes on, with the node that it was with.
    Resumed {
        /// The node.
        node: NodeId,
    },
    /// The session goes on, with another node.
    Moved {
        /// The node.
        node: NodeId,
    },
    /// The session was away for too long, and a new one began. What came meanwhile may be lost,
    /// and what was pushed but not acknowledged may be handled a second time.
    Expired {
        /// The new session.
        session: SessionId,
        /// The node that it is with.
        node: NodeId,
    },
    /// The session was ended, and the client does not come back. This is the last event.
    Ended {
        /// The close code of WebSocket: see [`CloseCode`](crate::CloseCode).
        code: u16,
        /// What happened, for people.
        reason: String,
    },
}

/// A message that came.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// Its name, the same on every node and for every client.
    pub id: MessageId,
    /// Where it was published. What was sent to this session alone comes from its private topic.
    pub topic: TopicName,
    /// What it says.
    pub message: Message,
}
