//! A bare WebSocket, as the application sees it.

mod handler;

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    id::{Principal, TopicName},
    message::Message,
    proto::CloseCode,
    runtime::{Hub, Line, Over, Saying},
    topic::{PublishError, Receipt, Topic},
};

pub(crate) use handler::AnyWebSocketHandler;
pub use {crate::runtime::WebSocketEnd, handler::WebSocketHandler};

/// The longest payload of a ping, in bytes.
const MAX_PING_BYTES: usize = 125;

/// A WebSocket that a [`WebSocketHandler`] has to itself. Cheap to clone: a clone is the same socket.
///
/// It is this node's, and ends with the connection: no other node knows of it, nothing that was sent
/// is kept, and who comes back is somebody new.
#[derive(Clone)]
pub struct WebSocket {
    inner: Arc<Inner>,
}

struct Inner {
    path: TopicName,
    params: Vec<(String, String)>,
    principal: Option<Principal>,
    line: Arc<Line>,
    hub: Arc<Hub>,
}

impl WebSocket {
    pub(crate) fn new(
        path: TopicName,
        params: Vec<(String, String)>,
        principal: Option<Principal>,
        line: Arc<Line>,
        hub: Arc<Hub>,
    ) -> Self {
        Self { inner: Arc::new(Inner { path, params, principal, line, hub }) }
    }

    /// The path that the client asked for, decoded.
    pub fn path(&self) -> &TopicName {
        &self.inner.path
    }

    /// What stands in the path where the route's template has `{name}`.
    pub fn param(&self, name: &str) -> Option<&str> {
        let param = self.inner.params.iter().find(|(param, _)| param == name);
        param.map(|(_, value)| value.as_str())
    }

    /// Who the client is, if the application has said so: see
    /// [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn principal(&self) -> Option<&Principal> {
        self.inner.principal.as_ref()
    }

    /// Whether something can still be sent, as far as this node knows.
    pub fn is_open(&self) -> bool {
        self.inner.line.is_open()
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
        topic.publish(message).await
    }

    /// Sends a text or bytes, once there is room: 64 KiB may wait for the client, or one message that
    /// is longer. What one task sends is sent in that order.
    ///
    /// Returns as soon as the message waits its turn. That it was sent does not mean that it arrives.
    ///
    /// # Errors
    ///
    /// [`SendError::Over`]: nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was sent.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        Ok(self.inner.line.say(Saying::Message(message.into())).await?)
    }

    /// Asks the client whether it is there; [`WebSocketHandler::pong`] is told of its answer. The
    /// payload has at most 125 bytes.
    ///
    /// This node asks by itself, too, every 25 s, and gives up a client that does not answer.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was sent.
    pub async fn ping(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        if payload.len() > MAX_PING_BYTES {
            return Err(SendError::LongPing { bytes: payload.len() });
        }
        Ok(self.inner.line.say(Saying::Ping(payload)).await?)
    }

    /// Closes the socket, behind all that was sent before. Harmless if it is over already.
    ///
    /// At most 123 bytes of `reason` are sent, and with the code 1005, which stands for none, neither.
    ///
    /// # Panics
    ///
    /// If `code` is none of 1000 to 1003, 1005, 1007 to 1014, and 3000 to 4999.
    pub fn close(&self, code: u16, reason: impl Into<Cow<'static, str>>) {
        let is_valid = CloseCode::may_be_sent(code) || code == CloseCode::NONE;
        assert!(is_valid, "{code} is no code that a WebSocket can be closed with");
        self.inner.line.close(code, reason.into());
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

/// Why nothing was sent on a bare WebSocket.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SendError {
    /// The payload of a ping has more than 125 bytes. A shorter one helps.
    #[error("a ping has {bytes} bytes, and not at most 125")]
    LongPing {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The socket is closed, or its client is gone. Trying again does not help.
    #[error("the socket is closed")]
    Over,
}

impl From<Over> for SendError {
    fn from(_: Over) -> Self {
        Self::Over
    }
}
