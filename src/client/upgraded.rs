//! A request whose connection becomes a WebSocket.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::{Span, debug};

use super::{
    Negotiation, Reader, Slot, Socket, attachment::Attachment, conversation::Conversation,
    http::Watched, opening::Opened,
};
use crate::{
    id::TopicName,
    proto::wire::MAX_MESSAGE_BYTES,
    runtime::{Bare, Happening, Tasks},
};

/// What is to be done with a connection that becomes a WebSocket.
pub(super) trait Upgrade: Send + 'static {
    /// Serves the connection, of which `unread` has been read already, to its end.
    fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        io: IO,
        unread: Bytes,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// Serves a WebSocket once the server that holds the connection lets go of it, in a task of its own:
/// what the handshake needed is gone then. The task is of the span `serving`.
pub(super) fn upgrade(
    asked: OnUpgrade,
    what: impl Upgrade,
    tasks: &Tasks,
    span: Span,
    serving: Span,
) {
    let spawner = tasks.clone();
    tasks.spawn(span, async move {
        match asked.await.map(take_stream) {
            Ok(Ok((stream, unread))) => spawner.spawn(serving, what.serve(stream, unread)),
            Ok(Err(upgraded)) => {
                let io = TokioIo::new(upgraded);
                spawner.spawn(serving, what.serve(io, Bytes::new()));
            }
            Err(error) => debug!(%error, "a client left before the upgrade"),
        }
    });
}

/// A WebSocket that is to be a session's attachment.
pub(super) struct Attach {
    pub(super) opened: Opened,
    pub(super) negotiation: Negotiation,
    pub(super) path: TopicName,
    pub(super) slot: Option<Slot>,
}

impl Upgrade for Attach {
    fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        io: IO,
        unread: Bytes,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Self { opened, negotiation, path, slot } = self;
        let socket = Socket::new(io, unread, Reader::new(MAX_MESSAGE_BYTES));
        let mut attachment = Attachment::new(socket, opened, &negotiation, &path);
        async move {
            attachment.run().await;
            drop(attachment);
            drop(slot);
        }
    }
}

/// A WebSocket that a handler is to have to itself.
pub(super) struct Converse {
    pub(super) bare: Bare,
    pub(super) request: http::Request<()>,
    pub(super) tasks: Tasks,
    pub(super) slot: Option<Slot>,
    /// How often the client is asked whether it is there.
    pub(super) heartbeat: Duration,
}

impl Upgrade for Converse {
    fn serve<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        io: IO,
        unread: Bytes,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Self { bare, request, tasks, slot, heartbeat } = self;
        let Bare { mailbox, line, whole_bytes, counted } = bare;
        let socket = Socket::new(io, unread, Reader::in_pieces(whole_bytes));
        mailbox.post(Happening::Opened(request));
        let mut conversation = Conversation::new(socket, line, mailbox, heartbeat);
        async move {
            conversation.run(&tasks).await;
            drop(conversation);
            drop(counted);
            drop(slot);
        }
    }
}

/// The bare connection, and what of it was read already, if it is TCP: without what the server that
/// accepted it put around it, it takes less memory, and less time for each write.
fn take_stream(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<Watched<TcpStream>>>() {
        Ok(parts) => return Ok(parts.io.into_inner().into_parts(parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => {
            let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
            Ok((parts.io.into_inner(), parts.read_buf))
        }
    }
}
