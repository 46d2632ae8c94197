//! What an operator can do to a topic, from any node.

use thiserror::Error;

use super::Topic;
use crate::{
    id::{InvalidTopicName, MessageId, SessionId},
    proto::{Closures, Recipients, Refused},
};

impl Topic {
    /// Takes a message back from all who have not got it yet, on every node. They are told of no gap.
    ///
    /// Who has it has it: nobody's screen is cleared. What is on its way to a client just now may
    /// arrive. The message counts as [`DropCause::Withdrawn`](crate::DropCause::Withdrawn), and its
    /// receipts are settled.
    ///
    /// # Errors
    ///
    /// [`WithdrawError`]: nothing changed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(node: exosphere::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let prices = node.topic("prices/EURUSD")?;
    /// let wrong = prices.publish("10.843").await?;
    /// prices.withdraw(wrong.id()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn withdraw(&self, id: MessageId) -> Result<(), WithdrawError> {
        self.withdraw_from(id, Recipients::Everyone)
    }

    /// Takes a message back from these sessions, as far as they have not got it yet, on every node. They are
    /// told of no gap, and all others get it. At most 1,000 can be named of one message, all in all.
    ///
    /// # Errors
    ///
    /// [`WithdrawError`]: nothing changed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn exclude(
        &self,
        id: MessageId,
        sessions: impl IntoIterator<Item = SessionId>,
    ) -> Result<(), WithdrawError> {
        self.withdraw_from(id, Recipients::only(sessions))
    }

    /// Lets a session read this topic from now on, wherever its client is. Harmless if it does already.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the session reads what it read before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn add(&self, session: SessionId) -> Result<(), JoinError> {
        Ok(self.hub.with(|core, now| core.join(session, &self.name, now))?)
    }

    /// Lets a session read this topic no longer, wherever its client is. What was published before, it
    /// still gets.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the session reads what it read before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn remove(&self, session: SessionId) -> Result<(), JoinError> {
        Ok(self.hub.with(|core, now| core.leave(session, &self.name, now))?)
    }

    /// Ends the connections of all clients that read this topic, on every node, for them to connect
    /// anew: see [`Session::resume`](crate::Session::resume).
    ///
    /// # Errors
    ///
    /// [`ResumeError`]: nothing happened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing happened.
    pub async fn resume(&self) -> Result<(), ResumeError> {
        Ok(self.hub.with(|core, now| core.resume(&self.name, now))?)
    }

    /// Closes this topic, on every node: its sessions leave it, and until it is
    /// [opened](Self::open) again nobody may publish to it or join it. Harmless if it is closed already.
    ///
    /// What was published before, its sessions still get. Of two nodes of which one closes a topic and
    /// the other opens it, the one that knew of the other's decision has its way; if neither did, all
    /// nodes agree on one of them. It is closed for as long as the cluster lives, or a
    /// [store](crate::Builder::store) of it. At most 1,024 topics can be closed.
    ///
    /// # Errors
    ///
    /// [`ClosureError`]: the topic is as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn close(&self) -> Result<(), ClosureError> {
        Ok(self.hub.with(|core, now| core.set_closed(&self.name, true, now))?)
    }

    /// Opens this topic again, on every node. Sessions that were in it must join it anew. Harmless if it
    /// is open already.
    ///
    /// # Errors
    ///
    /// [`ClosureError`]: the topic is as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn open(&self) -> Result<(), ClosureError> {
        Ok(self.hub.with(|core, now| core.set_closed(&self.name, false, now))?)
    }

    /// Whether this topic is closed, as far as this node has heard.
    pub fn is_closed(&self) -> bool {
        self.hub.with(|core, _| core.is_closed(&self.name))
    }

    fn withdraw_from(&self, id: MessageId, from: Recipients) -> Result<(), WithdrawError> {
        Ok(self.hub.with(|core, now| core.withdraw(&self.name, id, from, now))?)
    }
}

/// Why a client's topics are as they were.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum JoinError {
    /// Not the name of a topic. Trying again does not help.
    #[error(transparent)]
    InvalidTopicName(#[from] InvalidTopicName),
    /// There are as many topics as there may be, and this is a new one: see
    /// [`Builder::max_topics`](crate::Builder::max_topics). Waiting helps.
    #[error("there are as many topics as there may be")]
    NoRoom,
    /// The session is over. Trying again does not help.
    #[error("the session is over")]
    SessionOver,
    /// This node is shutting down. The session goes on elsewhere.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The session is in 128 topics already. Leaving one helps.
    #[error("the session is in 128 topics already")]
    TooManyTopics,
    /// The topic is [closed](Topic::close). Waiting until it is opened again helps.
    #[error("the topic is closed")]
    TopicClosed,
}

impl From<Refused> for JoinError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Leaving => Self::ShuttingDown,
            Refused::NoRoom => Self::NoRoom,
            Refused::TooManyTopics => Self::TooManyTopics,
            Refused::TopicClosed => Self::TopicClosed,
            _ => Self::SessionOver,
        }
    }
}

/// Why a message was not taken back. Nothing changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum WithdrawError {
    /// This node does not keep it: all have it, or it is gone, or it has not come here yet, or is none of
    /// this topic's. Trying again helps if it has not come yet.
    #[error("the message is not kept")]
    NotKept,
    /// This node is shutting down. Another node may do it.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// It would take more than 1,000 named sessions to say whom the message is for. Taking it back from
    /// all helps.
    #[error(
        "the message would be taken back from {named} named sessions, more than the limit of 1,000"
    )]
    TooManySessions {
        /// How many would be named.
        named: usize,
    },
}

impl From<Refused> for WithdrawError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Leaving => Self::ShuttingDown,
            Refused::TooManyRecipients { named } => Self::TooManySessions { named },
            _ => Self::NotKept,
        }
    }
}

/// Why clients were not told to connect anew. Nothing happened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The session is over. Trying again does not help.
    #[error("the session is over")]
    SessionOver,
    /// This node is shutting down. Another node may do it.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl From<Refused> for ResumeError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Leaving => Self::ShuttingDown,
            _ => Self::SessionOver,
        }
    }
}

/// Why a topic was neither closed nor opened. It is as it was.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ClosureError {
    /// This node is shutting down. Another node may do it.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// As many topics are closed as may be. Opening one helps.
    #[error("{} topics are closed already", Closures::MAX)]
    TooMany,
}

impl From<Refused> for ClosureError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooManyClosed => Self::TooMany,
            _ => Self::ShuttingDown,
        }
    }
}
