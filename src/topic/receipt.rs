//! What becomes of a published message.

use std::{fmt, sync::Arc};

use thiserror::Error;

use crate::{
    id::MessageId,
    proto::{Core, Ending, Fate, Level, Verdict},
    runtime::Hub,
};

/// A way to learn what becomes of a message. Cheap to clone.
///
/// [`Topic::publish`](crate::Topic::publish) returns one as proof that this node has the message;
/// [`Node::receipt`](crate::Node::receipt) makes one of a message's name, on any node.
#[derive(Clone)]
pub struct Receipt {
    id: MessageId,
    hub: Arc<Hub>,
}

impl Receipt {
    pub(crate) fn new(id: MessageId, hub: Arc<Hub>) -> Self {
        Self { id, hub }
    }

    /// The message's name, which is the same on every node, for ever.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits until this many other nodes have stored the message, or all that can be reached.
    ///
    /// Where fewer nodes are alive than asked for, this does not wait for more:
    /// [`Stored::short`] says so. A node that has stopped answering counts as alive until that is
    /// noticed, within two seconds.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn stored(&self, nodes: usize) -> Stored {
        let verdict = self.hub.watch(|core| core.watch_stored(self.id, nodes)).await;
        let (now, is_on_disk) =
            self.hub.with(|core, _| (core.stored_on(self.id), core.is_on_disk(self.id)));
        let (others, short) = match verdict {
            Some(Verdict::Stored { nodes, short, .. }) => (nodes, short),
            _ => (now, now < nodes), // The node has ended.
        };
        Stored { nodes: others, short, level: level(others, is_on_disk) }
    }

    /// Waits until the message, which this node published, is on its disk: it outlives the death of
    /// all nodes at once.
    ///
    /// # Errors
    ///
    /// [`NoDisk`] if this node has no store, or one that has failed, or if another node published the
    /// message. It is in memory, here and on other nodes; waiting does not help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn durable(&self) -> Result<(), NoDisk> {
        match self.hub.watch(|core| core.watch_durable(self.id)).await {
            Some(Verdict::OnDisk) => Ok(()),
            _ => Err(NoDisk),
        }
    }

    /// Waits until every session that was to get the message has it or is gone, or until the message
    /// is, and says which.
    ///
    /// A session whose client is away counts until it is closed: two minutes, unless it comes back.
    /// `None` if this node cannot tell: it has been shut down, never had the message, or dropped it
    /// so long ago that it has forgotten how: [`report`](Self::report) says which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> Option<Ending> {
        match self.hub.watch(|core| core.watch_settled(self.id)).await {
            Some(Verdict::Settled(ending)) => ending,
            _ => None,
        }
    }

    /// What became of the message, as far as this node can tell at this moment.
    ///
    /// It costs a look at every session of the message's topic.
    pub fn report(&self) -> MessageReport {
        let look = |core: &mut Core| {
            (core.stored_on(self.id), core.is_on_disk(self.id), core.fate(self.id))
        };
        let (nodes, is_on_disk, fate) = self.hub.with(|core, _| look(core));
        MessageReport { nodes, level: level(nodes, is_on_disk), fate }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.id).finish()
    }
}

/// How well a message is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// How many other nodes that are alive have stored it.
    pub nodes: usize,
    /// Whether fewer have than were asked for, because there are no more.
    pub short: bool,
    /// What that comes to.
    pub level: Level,
}

/// What became of a message, as far as one node can tell at a moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MessageReport {
    /// How many other nodes that are alive have stored it, as far as this one has heard.
    pub nodes: usize,
    /// What that comes to: [`Level::Disk`] is told of messages that this node published.
    pub level: Level,
    /// What became of it on this node.
    pub fate: Fate,
}

fn level(nodes: usize, is_on_disk: bool) -> Level {
    match nodes {
        _ if is_on_disk => Level::Disk,
        0 => Level::Local,
        _ => Level::Replicated,
    }
}

/// This node has no store, or one that has failed, or another node published the message. It is in
/// memory, here and on other nodes. Waiting does not help; a node with a
/// [store](crate::Builder::store) does.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the node has no disk that works")]
#[non_exhaustive]
pub struct NoDisk;
