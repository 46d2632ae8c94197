//! What an application does when something happens on a bare WebSocket.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::Request;

use super::{SendError, WebSocket, WebSocketEnd};
use crate::{
    message::Message,
    proto::{Close, CloseCode, wire::MAX_MESSAGE_BYTES},
    runtime::Happening,
};

/// An application's side of bare WebSockets: those that are no sessions, and speak what it likes.
///
/// Calls for one socket come one at a time, in the order things happened; calls for different sockets
/// run at the same time. While a call runs, 64 messages, or 1 MiB of them, may wait; beyond that the
/// client is not read from.
///
/// Everything here is this node's alone. A socket is not kept when its connection or the node is gone,
/// and reads no topics: for that, be a [`Handler`](crate::Handler). It may publish to topics, as any
/// other code may.
///
/// Write the methods as `async fn`; the signatures here only add that their futures are [`Send`]. An
/// `async fn(WebSocket, Message) -> Result<(), Close>` will do for a handler that has only
/// [`message`](Self::message) to say.
///
/// # Examples
///
/// ```
/// use exosphere::{Close, Message, Node, WebSocket, WebSocketEnd, WebSocketHandler};
///
/// struct Upload;
///
/// impl WebSocketHandler for Upload {
///     async fn message(&self, socket: &WebSocket, message: Message) -> Result<(), Close> {
///         socket.send(format!("{} bytes at once", message.len())).await?;
///         Ok(())
///     }
///
///     // What is longer than 1 MiB comes in pieces.
///     async fn piece(&self, socket: &WebSocket, piece: Message, is_last: bool) -> Result<(), Close> {
///         socket.send(format!("{} more bytes", piece.len())).await?;
///         if is_last {
///             socket.publish("/uploads", "one is complete").await?;
///         }
///         Ok(())
///     }
///
///     async fn closed(&self, _: &WebSocket, end: WebSocketEnd) {
///         println!("over: {end:?}");
///     }
/// }
///
/// let builder = Node::builder("files").websocket("/upload/{name}", Upload);
/// # drop(builder);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle bare WebSockets",
    note = "implement `WebSocketHandler`, or pass an `async fn(WebSocket, Message) -> Result<(), Close>`"
)]
pub trait WebSocketHandler: Send + Sync + 'static {
    /// How many bytes a message may have that is told as a whole, by [`message`](Self::message). A
    /// longer one is told by [`piece`](Self::piece).
    ///
    /// Asked once for each socket. Defaults to 1 MiB. Each socket may take as much memory three times:
    /// for what comes, for what waits and for what is being told. With 0, every message that is not
    /// empty comes in pieces.
    fn whole_bytes(&self) -> usize {
        MAX_MESSAGE_BYTES
    }

    /// A client is connected, by this request, the body of which was empty. Called before any other
    /// method.
    ///
    /// # Errors
    ///
    /// An error closes the socket, with its code.
    fn open(
        &self,
        socket: &WebSocket,
        request: Request<()>,
    ) -> impl Future<Output = Result<(), Close>> + Send {
        let _ = (socket, request);
        async { Ok(()) }
    }

    /// The client sent a message of at most [`whole_bytes`](Self::whole_bytes), in however many
    /// frames.
    ///
    /// # Errors
    ///
    /// An error closes the socket, with its code.
    fn message(
        &self,
        socket: &WebSocket,
        message: Message,
    ) -> impl Future<Output = Result<(), Close>> + Send;

    /// The client sent more of a message that is longer than [`whole_bytes`](Self::whole_bytes). Told as
    /// it comes, in pieces of whatever length, the last of which says so and may be empty.
    ///
    /// All pieces of a text are text: a character is never cut, and what is not UTF-8 closes the socket
    /// by 1007, after what was before it.
    ///
    /// Unless you write it otherwise, such messages are refused by 1009.
    ///
    /// # Errors
    ///
    /// An error closes the socket, with its code.
    fn piece(
        &self,
        socket: &WebSocket,
        piece: Message,
        is_last: bool,
    ) -> impl Future<Output = Result<(), Close>> + Send {
        let _ = (socket, piece, is_last);
        async { Err(Close::new(CloseCode::TooLarge, "the message is too long")) }
    }

    /// The client asked whether this side is there, and was answered already.
    fn ping(&self, socket: &WebSocket, payload: Bytes) -> impl Future<Output = ()> + Send {
        let _ = (socket, payload);
        async {}
    }

    /// The client answered a [ping](WebSocket::ping), or none. It has what was sent before that.
    fn pong(&self, socket: &WebSocket, payload: Bytes) -> impl Future<Output = ()> + Send {
        let _ = (socket, payload);
        async {}
    }

    /// The socket is over. Called once, after every other method, unless the node dies.
    fn closed(&self, socket: &WebSocket, end: WebSocketEnd) -> impl Future<Output = ()> + Send {
        let _ = (socket, end);
        async {}
    }
}

impl<F, Fut> WebSocketHandler for F
where
    F: Fn(WebSocket, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Close>> + Send,
{
    async fn message(&self, socket: &WebSocket, message: Message) -> Result<(), Close> {
        self(socket.clone(), message).await
    }
}

/// A handler of bare WebSockets, of whatever type.
pub(crate) trait AnyWebSocketHandler: Send + Sync {
    fn whole_bytes(&self) -> usize;

    fn call<'a>(
        &'a self,
        socket: &'a WebSocket,
        happening: Happening,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + 'a>>;
}

impl<H: WebSocketHandler> AnyWebSocketHandler for H {
    fn whole_bytes(&self) -> usize {
        WebSocketHandler::whole_bytes(self)
    }

    fn call<'a>(
        &'a self,
        socket: &'a WebSocket,
        happening: Happening,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + 'a>> {
        Box::pin(async move {
            match happening {
                Happening::Opened(request) => return self.open(socket, request).await,
                Happening::Message(message) => return self.message(socket, message).await,
                Happening::Piece { piece, is_last } => {
                    return self.piece(socket, piece, is_last).await;
                }
                Happening::Ping(payload) => self.ping(socket, payload).await,
                Happening::Pong(payload) => self.pong(socket, payload).await,
                Happening::Closed(end) => self.closed(socket, end).await,
            }
            Ok(())
        })
    }
}

impl From<SendError> for Close {
    fn from(err: SendError) -> Self {
        Self::new(CloseCode::Internal, err.to_string())
    }
}
