//! What happens on a bare WebSocket.

use std::borrow::Cow;

use bytes::Bytes;
use http::Request;

use super::mailbox::Word;
use crate::message::Message;

/// Something to tell the handler of a bare WebSocket.
#[derive(Debug)]
pub(crate) enum Happening {
    Opened(Request<()>),
    Message(Message),
    /// A piece of a message that is too long to be handed over as a whole.
    Piece {
        piece: Message,
        is_last: bool,
    },
    Ping(Bytes),
    Pong(Bytes),
    Closed(WebSocketEnd),
}

impl Word for Happening {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) | Self::Piece { piece: message, .. } => message.len(),
            Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Closed(_) | Self::Opened(_) => 0,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

/// How a bare WebSocket came to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WebSocketEnd {
    /// The client closed, with this code, and was answered by it.
    Client {
        /// What it gave as its code, or 1005 if it gave none.
        code: u16,
        /// What it gave as its reason.
        reason: String,
    },
    /// This side closed: the handler, whoever else has the socket, or the node as it shut down.
    Ours {
        /// With which code.
        code: u16,
        /// For which reason.
        reason: Cow<'static, str>,
    },
    /// The client broke a rule of WebSockets, and was told so.
    Violation {
        /// With which code: 1007 for a text that is not UTF-8, otherwise 1002.
        code: u16,
        /// Which rule.
        reason: String,
    },
    /// The connection broke, or nothing was heard of the client for too long, or it did not read for
    /// too long.
    Lost,
}
