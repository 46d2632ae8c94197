//! What becomes of a published message.

use std::{fmt, sync::Arc};

use crate::{
    id::{MessageId, TopicName},
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
