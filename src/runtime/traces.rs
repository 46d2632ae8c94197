//! Messages in traces: with feature `otel` what is published says in which span, and its deliveries, on
//! whichever node, are spans of the same trace. Without it a node only hands on what others say.

#[cfg(feature = "otel")]
mod spans;

#[cfg(feature = "otel")]
use super::Hub;
#[cfg(feature = "otel")]
use crate::proto::{AttachmentKey, Batch};
use crate::{
    id::{MessageId, TopicName},
    message::Message,
};

/// Publishes a message, in a span of its own.
#[cfg_attr(not(feature = "otel"), expect(unused_variables, reason = "it is in the span"))]
pub(crate) fn traced<E: ToString>(
    topic: &TopicName,
    message: Message,
    publish: impl FnOnce(Message) -> Result<MessageId, E>,
) -> Result<MessageId, E> {
    #[cfg(feature = "otel")]
    let (span, message) = spans::Publish::begin(topic, message);
    let published = publish(message);
    #[cfg(feature = "otel")]
    span.end(&published);
    published
}

#[cfg(feature = "otel")]
impl Hub {
    /// A connection is given a batch: each message of a trace makes a span.
    pub(super) fn trace(&self, key: AttachmentKey, batch: &Batch) {
        let mut entries =
            batch.entries.iter().filter(|entry| entry.message().trace().is_some()).peekable();
        if entries.peek().is_some()
            && let Some(session) = self.session_of(key)
        {
            entries.for_each(|entry| spans::deliver(self.id(), session, entry));
        }
    }
}
