//! The application, as transports see it.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};

use super::{Counted, Happening, Line, Mailbox};
use crate::id::{Principal, SessionId};

/// Finds out who answers for a path.
pub(crate) trait Front: Send + Sync {
    /// Whether there is a handler of sessions for `path`.
    fn has_route(&self, path: &str) -> bool;

    /// The mailbox of `session`, whose client is `principal` and asked for `path`; the same for each
    /// call, as long as the session is known here. `None` if there is no handler for the path.
    fn mailbox(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<Arc<Mailbox>>;

    /// What the handler of `path` answers to a request that no client connects by, if anything.
    fn request<'a>(
        &'a self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send + 'a>>;

    /// A mailbox for one message of a client that has no session.
    fn visitor(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<Arc<Mailbox>>;

    /// Whether there is a handler of bare WebSockets for `path`.
    fn is_bare(&self, path: &str) -> bool;

    /// What a WebSocket needs that `principal` asks for at `path`. `None` if there is no handler of
    /// bare WebSockets for it.
    fn bare(&self, path: &str, principal: Option<Principal>) -> Option<Bare>;
}

/// What a bare WebSocket needs: who is told what comes, and where what goes comes from.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) mailbox: Arc<Mailbox<Happening>>,
    pub(crate) line: Arc<Line>,
    /// How long a message may be that the handler is told as a whole.
    pub(crate) whole_bytes: usize,
    /// Kept as long as the WebSocket is there.
    pub(crate) counted: Counted,
}
