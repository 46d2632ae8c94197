//! What a client can do wrong on a WebSocket.

use thiserror::Error;

use crate::client::frame::close_code;

/// A client broke a rule of WebSockets. The connection is of no more use; a new one helps only if
/// the client behaves there.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Violation {
    /// A bit is set that is for extensions, of which there are none.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// There is no such kind of frame.
    #[error("there is no opcode {0}")]
    Opcode(u8),
    /// The frame is not masked, as all frames of clients are.
    #[error("the frame is not masked")]
    Unmasked,
    /// A control frame says that it goes on in the next frame.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// A message goes on that never began.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A message begins before the last one ended.
    #[error("the message before is not finished")]
    Unfinished,
    /// A message has more bytes than are allowed.
    #[error("the message is longer than {0} bytes")]
    TooBig(usize),
    /// A text, or the reason of a close, is not UTF-8.
    #[error("the text is not UTF-8")]
    NotText,
    /// A close frame has half a code, or one that means nothing on the wire.
    #[error("the close code is not valid")]
    CloseCode,
}

impl Violation {
    /// With which code the connection is closed.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::TooBig(_) => close_code::TOO_BIG,
            Self::NotText => close_code::NOT_TEXT,
            _ => close_code::PROTOCOL,
        }
    }
}
