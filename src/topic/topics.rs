//! All topics that a pattern stands for.

use std::{fmt, sync::Arc};

use super::Topic;
use crate::{
    id::TopicName,
    message::Message,
    runtime::{Hub, Pattern},
    topic::{PublishError, Receipt},
};

/// All topics whose names match a pattern, whichever there are at the time. Cheap to clone.
///
/// The topics of single sessions are never among them.
#[derive(Clone)]
pub struct Topics {
    pattern: Pattern,
    hub: Arc<Hub>,
}

impl Topics {
    pub(crate) fn new(pattern: Pattern, hub: Arc<Hub>) -> Self {
        Self { pattern, hub }
    }

    /// The topics that there are now, as far as this node has heard, in the order of their names.
    pub fn names(&self) -> Vec<TopicName> {
        let mut names: Vec<_> = self.hub.with(|core, _| {
            let topics = core.replica().topics().iter().map(|(_, topic)| &topic.name);
            let meant = topics
                .filter(|name| name.private_session().is_none() && self.pattern.matches(name));
            meant.cloned().collect()
        });
        names.sort();
        names
    }

    /// Publishes a message to each of them; to none that is made meanwhile.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: it was not published to this topic, and to none whose name comes after.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was published.
    pub async fn publish(&self, message: impl Into<Message>) -> Result<Vec<Receipt>, PublishError> {
        let (message, mut receipts) = (message.into(), Vec::new());
        for name in self.names() {
            let topic = Topic::new(name, Arc::clone(&self.hub));
            receipts.push(topic.publish(message.clone()).await?);
        }
        Ok(receipts)
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}
