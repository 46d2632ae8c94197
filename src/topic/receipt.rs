//! What becomes of a published message.

use std::{fmt, sync::Arc};

use thiserror::Error;

use crate::{
    id::{MessageId, TopicName},
    proto::Core,
    runtime::Hub,
};

/// Proof that this node has a message, and a way to learn what becomes of it.
#[derive(Clone)]
pub struct Receipt {
    id: MessageId,
    topic: TopicName,
    hub: Arc<Hub>,
}

impl Receipt {
    pub(crate) fn new(id: MessageId, topic: TopicName, hub: Arc<Hub>) -> Self {
        Self { id, topic, hub }
    }

    /// The message's name, which is the same on every node, for ever.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits until this many other nodes have stored the message.
    ///
    /// Where there are fewer nodes it waits until there are more, so put a time limit around it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn stored(&self, nodes: usize) {
        self.hub.until(|core| core.stored_on(self.id) >= nodes).await;
    }

    /// Waits until the message is on this node's disk: it outlives the death of all nodes at once.
    ///
    /// # Errors
    ///
    /// [`NoDisk`] if this node has no store, or one that has failed. The message is in memory, here
    /// and on other nodes; waiting does not help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn durable(&self) -> Result<(), NoDisk> {
        let is_known = |core: &Core| core.durable().is_none_or(|durable| self.id.seq < durable);
        self.hub.until(is_known).await;
        match self.hub.with(|core, _| core.durable()) {
            Some(_) => Ok(()),
            None => Err(NoDisk),
        }
    }

    /// Waits until every session that was to get the message has it or is gone.
    ///
    /// A session whose client is away counts until it is closed: two minutes, unless it comes back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) {
        self.hub.until(|core| core.is_settled(&self.topic, self.id)).await;
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.id).finish()
    }
}

/// This node has no store, or one that has failed. The message is in memory, here and on other nodes.
/// Waiting does not help; a node with a [store](crate::Builder::store) does.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the node has no disk that works")]
#[non_exhaustive]
pub struct NoDisk;
