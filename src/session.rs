//! A client, as the application sees it.

use std::{fmt, sync::Arc};

use crate::{
    connection::{ClientRequest, Connection},
    id::{Principal, SessionId, TopicName},
    message::Message,
    proto::{Close, Recipients},
    runtime::{Hub, Pattern, next_cause, traces::traced},
    topic::{JoinError, PublishError, Receipt, ResumeError, Topic, Topics},
};

/// A client's session. Cheap to clone: a clone is the same session.
///
/// It begins with the client's first connection and outlives it: a client that comes back, on any
/// node, within two minutes is the same session and gets what it missed.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    id: SessionId,
    path: TopicName,
    params: Vec<(String, String)>,
    principal: Option<Principal>,
    hub: Arc<Hub>,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        path: TopicName,
        params: Vec<(String, String)>,
        principal: Option<Principal>,
        hub: Arc<Hub>,
    ) -> Self {
        Self { inner: Arc::new(Inner { id, path, params, principal, hub }) }
    }

    /// The name by which any node knows this session.
    ///
    /// Whoever knows it, and is the same [principal](Self::principal), can take the session over, so
    /// show it to nobody but its client.
    pub fn id(&self) -> SessionId {
        self.inner.id
    }

    /// The path that the client asked for, decoded, which is the name of its route's topic too.
    pub fn path(&self) -> &TopicName {
        &self.inner.path
    }

    /// What stands in the path where the route's template has `{name}`.
    pub fn param(&self, name: &str) -> Option<&str> {
        let param = self.inner.params.iter().find(|(param, _)| param == name);
        param.map(|(_, value)| value.as_str())
    }

    /// Who the client is, if the application has authenticated it: see
    /// [`Builder::authenticate`](crate::Builder::authenticate). It is the same for the session's life,
    /// on every node.
    pub fn principal(&self) -> Option<&Principal> {
        self.inner.principal.as_ref()
    }

    /// How the client is connected to this node; `None` if it is connected to another, or away. One
    /// that polls is there between two polls, too.
    pub fn connection(&self) -> Option<Connection> {
        self.inner.hub.connection_of(self.inner.id)
    }

    /// The request by which the client is connected to this node; `None` if it is connected to another, or
    /// away.
    pub fn request(&self) -> Option<ClientRequest> {
        self.inner.hub.request_of(self.inner.id)
    }

    /// Sends a message to this client alone, now or when it is back.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was sent.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Receipt, PublishError> {
        let (hub, session) = (&self.inner.hub, self.inner.id);
        let id = traced(&TopicName::private(session), message.into(), |message| {
            hub.with(|core, now| core.send(session, message, next_cause(), now))
        })?;
        Ok(Receipt::new(id, Arc::clone(hub)))
    }

    /// Lets this client read a topic, from now on. Harmless if it does already.
    ///
    /// A new session whose client handed in a position reads the topic of its path from there on, as
    /// far as messages are kept: whoever may join a topic may read what is kept of it.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the client reads what it read before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn join(&self, topic: &str) -> Result<(), JoinError> {
        let topic = TopicName::parse(topic)?;
        Ok(self.inner.hub.with(|core, now| core.join(self.inner.id, &topic, now))?)
    }

    /// Lets this client read a topic no longer. What was published before, it still gets.
    ///
    /// # Errors
    ///
    /// [`JoinError`]: the client reads what it read before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing changed.
    pub async fn leave(&self, topic: &str) -> Result<(), JoinError> {
        let topic = TopicName::parse(topic)?;
        Ok(self.inner.hub.with(|core, now| core.leave(self.inner.id, &topic, now))?)
    }

    /// Publishes a message to a topic, as [`Topic::publish`] does.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: nothing was published.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was published.
    pub async fn publish(
        &self,
        topic: &str,
        message: impl Into<Message>,
    ) -> Result<Receipt, PublishError> {
        let topic = Topic::new(TopicName::parse(topic)?, Arc::clone(&self.inner.hub));
        topic.publish_for(Recipients::Everyone, message.into())
    }

    /// Publishes a message to every topic of the cluster.
    pub(crate) async fn publish_everywhere(&self, message: Message) -> Result<(), PublishError> {
        let all = "*".parse::<Pattern>().expect("a star is a pattern");
        Topics::new(all, Arc::clone(&self.inner.hub)).publish(message).await.map(drop)
    }

    /// Ends the client's connection, on whichever node it is, for the client to connect anew: a long poll
    /// is answered, a stream ends, a WebSocket is closed by 1001. The session goes on, as after a
    /// connection that was lost; why it is without one until then is told as
    /// [`Detachment::Resumed`](crate::Detachment::Resumed).
    ///
    /// # Errors
    ///
    /// [`ResumeError`]: nothing happened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing happened.
    pub async fn resume(&self) -> Result<(), ResumeError> {
        let topic = TopicName::private(self.inner.id);
        Ok(self.inner.hub.with(|core, now| core.resume(&topic, now))?)
    }

    /// Ends the session, wherever its client is connected. Harmless if it is over already.
    pub fn close(&self, close: Close) {
        self.inner.hub.end(self.inner.id, close);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("path", &self.inner.path).finish_non_exhaustive()
    }
}
