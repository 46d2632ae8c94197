//! Topics: named logs of messages, which sessions read.

mod receipt;
mod steering;
mod topics;

use std::{fmt, sync::Arc};

use thiserror::Error;

use crate::{
    id::{InvalidTopicName, SessionId, TopicName},
    message::Message,
    proto::{Accounting, Core, Recipients, Refused},
    runtime::{Hub, Refusal, next_cause, traces::traced},
};

pub use {
    receipt::{MessageReport, NoDisk, Receipt, Stored},
    steering::{ClosureError, JoinError, ResumeError, WithdrawError},
    topics::Topics,
};

/// A handle to a topic. Cheap to clone: a clone is the same topic.
///
/// A topic need not be made: it is there as soon as somebody publishes to it or joins it, on every
/// node, and gone when it has no sessions and no messages.
#[derive(Clone)]
pub struct Topic {
    name: TopicName,
    hub: Arc<Hub>,
}

impl Topic {
    pub(crate) fn new(name: TopicName, hub: Arc<Hub>) -> Self {
        Self { name, hub }
    }

    /// Publishes a message to every session in the topic, on every node.
    ///
    /// Returns as soon as this node has the message, which takes no network round trip. To wait for
    /// more, see [`Receipt`].
    ///
    /// Messages published on one node reach every session in the order in which they were
    /// published. Messages from different nodes may reach different sessions in different orders.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was published.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was published.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(node: exosphere::Node) -> Result<(), exosphere::Error> {
    /// let prices = node.topic("prices/EURUSD")?;
    /// let receipt = prices.publish("1.0843").await?;
    /// println!("published as {}", receipt.id());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(&self, message: impl Into<Message>) -> Result<Receipt, PublishError> {
        self.publish_for(Recipients::Everyone, message.into())
    }

    /// Publishes a message to these of the topic's sessions, of which there may be 1,000.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was published.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was published.
    pub async fn publish_to(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
        message: impl Into<Message>,
    ) -> Result<Receipt, PublishError> {
        self.publish_for(Recipients::only(sessions), message.into())
    }

    /// Publishes a message to all of the topic's sessions but these, of which there may be 1,000.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was published.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was published.
    pub async fn publish_except(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
        message: impl Into<Message>,
    ) -> Result<Receipt, PublishError> {
        self.publish_for(Recipients::except(sessions), message.into())
    }

    /// The name of this topic.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Whether a session is in this topic, as far as this node knows.
    #[cfg(feature = "control")]
    pub(crate) fn is_read_by(&self, session: SessionId) -> bool {
        self.hub.with(|core, _| {
            let topics = core.replica().topics();
            let members = topics.find(&self.name).map(|key| &topics.get(key).members);
            let member = members.and_then(|members| members.get(&session));
            member.is_some_and(|member| member.until.is_none())
        })
    }

    /// The sessions in this topic, on whichever nodes they are, as far as this node knows.
    pub fn members(&self) -> Vec<SessionId> {
        self.hub.with(|core, _| {
            let topics = core.replica().topics();
            let members = topics.find(&self.name).map(|key| &topics.get(key).members);
            members.map_or_else(Vec::new, |members| members.keys().copied().collect())
        })
    }

    /// What became of the messages that this node stored in this topic.
    ///
    /// Counted from when the topic was opened on this node, which closes it whenever it has neither
    /// sessions nor messages; [`Node::accounting`](crate::Node::accounting) goes on counting.
    pub fn accounting(&self) -> Accounting {
        self.hub.with(|core, _| {
            let topics = core.replica().topics();
            let key = topics.find(&self.name);
            key.map_or_else(Accounting::default, |key| topics.get(key).log.accounting())
        })
    }

    pub(crate) fn publish_for(
        &self,
        to: Recipients,
        message: Message,
    ) -> Result<Receipt, PublishError> {
        let passed = self.hub.filters().publish(&self.name, message);
        let message = passed.inspect_err(|_| self.hub.counters().refused())?;
        let id = traced(&self.name, message, |message| {
            let cause = next_cause();
            let publish =
                |core: &mut Core, now| core.publish_because(&self.name, to, message, cause, now);
            self.hub.with(publish)
        })?;
        Ok(Receipt::new(id, Arc::clone(&self.hub)))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// Why a message was not published. Nobody will receive it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PublishError {
    /// A [filter](crate::Builder::filter) of this node does not let the message pass. Whether trying again
    /// helps is its affair.
    #[error("the filter {filter} does not let it pass: {reason}")]
    Filtered {
        /// Which filter.
        filter: String,
        /// Why, as it says.
        reason: String,
    },
    /// Not the name of a topic. Trying again does not help.
    #[error(transparent)]
    InvalidTopicName(#[from] InvalidTopicName),
    /// The session that the message was for is over. Trying again does not help.
    #[error("the session is over")]
    SessionOver,
    /// This node is shutting down. Another node may take the message.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The message is longer than 1 MiB. Trying again does not help.
    #[error("the message has {bytes} bytes, more than the limit of 1 MiB")]
    TooLarge {
        /// The length of the message.
        bytes: usize,
    },
    /// There are as many topics as there may be, and this is a new one: see
    /// [`Builder::max_topics`](crate::Builder::max_topics). Waiting helps, and so does leaving topics.
    #[error("there are as many topics as there may be")]
    TooManyTopics,
    /// The message names more than 1,000 sessions. Giving them a topic of their own helps.
    #[error("the message is for {named} named sessions, more than the limit of 1,000")]
    TooManyRecipients {
        /// How many it names.
        named: usize,
    },
    /// The topic is [closed](Topic::close). Waiting until it is opened again helps.
    #[error("the topic is closed")]
    TopicClosed,
}

impl From<(String, Refusal)> for PublishError {
    fn from((filter, refusal): (String, Refusal)) -> Self {
        Self::Filtered { filter, reason: refusal.reason().to_owned() }
    }
}

impl From<Refused> for PublishError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Leaving => Self::ShuttingDown,
            Refused::NoRoom => Self::TooManyTopics,
            Refused::TopicClosed => Self::TopicClosed,
            Refused::TooLarge { bytes } => Self::TooLarge { bytes },
            Refused::TooManyRecipients { named } => Self::TooManyRecipients { named },
            _ => Self::SessionOver,
        }
    }
}
