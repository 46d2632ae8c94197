//! What an application has done to messages on their way.

use crate::{
    id::{SessionId, TopicName},
    message::Message,
};

/// What an application has done to the messages of topics on their way: see
/// [`Builder::filter`](crate::Builder::filter).
///
/// A closure will do for a filter that looks at messages when they are published.
///
/// ```
/// use exosphere::{Message, Node, Refusal, TopicName};
///
/// fn polite(_: &TopicName, message: Message) -> Result<Message, Refusal> {
///     match message.as_text() {
///         Some(text) if text.contains("darn") => Err(Refusal::new("mind your language")),
///         Some(text) => Ok(Message::text(text.trim())),
///         None => Ok(message),
///     }
/// }
///
/// let builder = Node::builder("chat").filter("polite", "/chat/*", polite);
/// # drop(builder);
/// ```
pub trait Filter: Send + Sync + 'static {
    /// A message is about to be published to `topic` on this node. It is published as what this returns, or
    /// not at all.
    ///
    /// It is called by who publishes, who waits for it: it must not block.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why the message is not published.
    fn publish(&self, topic: &TopicName, message: Message) -> Result<Message, Refusal> {
        let _ = topic;
        Ok(message)
    }

    /// Whether [`deliver`](Self::deliver) is to be asked, which costs for each message and client. Asked
    /// once, when the node starts. Defaults to not.
    fn filters_deliveries(&self) -> bool {
        false
    }

    /// Whether `session`, whose client is connected to this node, gets a message of `topic`. For a session
    /// that does not, it counts as what it has: it is told of no gap.
    ///
    /// It may be asked again for the same message, as when the client comes back, and on another node by
    /// the filters of that. It is called by who writes to the client: it must not block. A filter that
    /// panics lets the message pass.
    fn deliver(&self, topic: &TopicName, session: SessionId, message: &Message) -> bool {
        let _ = (topic, session, message);
        true
    }
}

impl<F> Filter for F
where
    F: Fn(&TopicName, Message) -> Result<Message, Refusal> + Send + Sync + 'static,
{
    fn publish(&self, topic: &TopicName, message: Message) -> Result<Message, Refusal> {
        self(topic, message)
    }
}

/// Why a filter does not let a message be published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal for this reason, which who publishes is told.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.0
    }
}
