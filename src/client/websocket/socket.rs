//! One WebSocket, after the upgrade.
//!
//! ```text
//!          start_close           the client's close frame
//!   Open -------------> Closing --------------------------> Over
//!    |                     |                                 ^
//!    |                     |  the connection ends            |
//!    |                     +---------------------------------+
//!    +-------------------------------------------------------+
//!      the client's close frame, a violation, the connection ends
//! ```
//!
//! One task owns a socket, and polls it: [`poll_next`](Socket::poll_next) for what comes,
//! [`poll_flush`](Socket::poll_flush) for what goes, and, once the first has said that it is over
//! or there is no more patience, [`poll_shutdown`](Socket::poll_shutdown) until it is ready or a
//! deadline has passed. Pings are answered and close frames returned on the way.
//!
//! The buffer that is read into belongs to the thread, so that a socket on which nothing happens
//! has no memory but its own few hundred bytes.

use std::{
    cell::Cell,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ClientFrame, Reader, Violation};
use crate::{
    client::{WriteQueue, frame},
    message::Message,
};

/// A WebSocket to one client.
#[derive(Debug)]
pub(crate) struct Socket<IO> {
    io: IO,
    state: State,
    reader: Reader,
    /// What came with the last read and has not been looked at yet.
    unread: Bytes,
    queue: WriteQueue,
    /// The answer to the client's last ping, if there was no room for it. Earlier ones are not
    /// answered then, which the protocol allows.
    pong: Option<Bytes>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Socket<IO> {
    /// The WebSocket on `io`, of which `unread` has been read already.
    pub(crate) fn new(io: IO, unread: Bytes, reader: Reader) -> Self {
        Self { io, state: State::Open, reader, unread, queue: WriteQueue::default(), pong: None }
    }

    /// Puts frames at the end of what is to be written. [`poll_flush`](Self::poll_flush) writes.
    ///
    /// Never fails, so stop when there is no more [room](Self::has_room). After a close frame
    /// nothing may be sent: what is given to a socket that is not [open](Self::is_open) is dropped.
    pub(crate) fn push(&mut self, frames: Bytes) {
        if self.is_open() {
            self.queue.push(frames);
        }
    }

    /// Asks the client to close, and for nothing more. What came before is still written before,
    /// and what the client sent before it heard of it still comes.
    ///
    /// `reason` is cut at 123 bytes. Does nothing if the socket is not [open](Self::is_open).
    pub(crate) fn start_close(&mut self, code: u16, reason: &str) {
        if self.is_open() {
            self.queue.push(frame::close(code, reason));
            self.state = State::Closing;
        }
    }

    /// What comes next. Call [`poll_flush`](Self::poll_flush) after each time this is ready.
    ///
    /// Never ready again after [`Incoming::Closed`] and [`Incoming::Failed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost between two calls.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        while self.state.is_reading() {
            let frame = match self.unread.is_empty() {
                true => match ready!(self.poll_read(cx)) {
                    Ok(frame) => frame,
                    Err(error) => return Poll::Ready(self.fail(error)),
                },
                false => self.read_unread(),
            };
            match frame {
                Ok(Some(frame)) => return Poll::Ready(self.handle_frame(frame)),
                Ok(None) => {}
                Err(violation) => return Poll::Ready(self.fail(violation.into())),
            }
        }
        Poll::Pending
    }

    /// Writes what is to be written, as far as the client takes it. Ready once all is written.
    ///
    /// # Errors
    ///
    /// What the connection says. The socket is of no more use then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost or written twice between two calls.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.queue.has_room()
                && let Some(pong) = self.pong.take()
            {
                self.push(pong);
            }
            ready!(self.queue.poll_flush(cx, &mut self.io))?;
            if self.pong.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Ends the connection itself: writes what is to be written, ends our direction, and waits
    /// until the client has ended its own, so that our last frame is not lost. What comes now is
    /// dropped.
    ///
    /// A client may take its time, so wait for a second or two at most, and then drop the socket.
    ///
    /// # Errors
    ///
    /// What the connection says, for the curious: it is over in any case.
    ///
    /// # Cancel safety
    ///
    /// Can be called again.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pong = None;
        self.unread = Bytes::new();
        ready!(self.queue.poll_flush(cx, &mut self.io))?;
        if self.state != State::Ended {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.state = State::Ended;
        }
        while ready!(poll_read(&mut self.io, cx, <[u8]>::len))? > 0 {}
        Poll::Ready(Ok(()))
    }

    /// Whether frames can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether more should be put in. What is full empties as [`poll_flush`](Self::poll_flush)
    /// makes headway.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// What waits to be written, and how much has been.
    pub(crate) fn queue(&self) -> &WriteQueue {
        &self.queue
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReadFrame, SocketError>> {
        let Self { io, reader, unread, .. } = self;
        let polled = poll_read(io, cx, |mut bytes| {
            if bytes.is_empty() {
                return Err(SocketError::Ended);
            }
            let frame = reader.read(&mut bytes);
            *unread = Bytes::copy_from_slice(bytes);
            Ok(frame)
        });
        polled.map(|read| read.unwrap_or_else(|error| Err(SocketError::Io(error))))
    }

    fn read_unread(&mut self) -> ReadFrame {
        let unread = mem::take(&mut self.unread);
        let mut rest = &unread[..];
        let frame = self.reader.read(&mut rest);
        if !rest.is_empty() {
            self.unread = unread.slice_ref(rest);
        }
        frame
    }

    fn handle_frame(&mut self, frame: ClientFrame) -> Incoming {
        match frame {
            ClientFrame::Message(message) => Incoming::Message(message),
            ClientFrame::Piece { piece, is_last } => Incoming::Piece { piece, is_last },
            ClientFrame::Ping(payload) => {
                let pong = frame::pong(&payload);
                match self.queue.has_room() {
                    true => self.push(pong),
                    false => self.pong = self.is_open().then_some(pong),
                }
                Incoming::Ping(payload)
            }
            ClientFrame::Pong(payload) => Incoming::Pong(payload),
            ClientFrame::Close { code, reason } => {
                self.start_close(code, "");
                self.stop_reading();
                Incoming::Closed { code, reason }
            }
        }
    }

    fn fail(&mut self, error: SocketError) -> Incoming {
        match &error {
            SocketError::Violation(violation) => {
                self.start_close(violation.code(), &violation.to_string());
            }
            // Nobody is left to write to.
            SocketError::Ended | SocketError::Io(_) => self.queue.clear(),
        }
        self.stop_reading();
        Incoming::Failed(error)
    }

    fn stop_reading(&mut self) {
        self.state = State::Over;
        self.unread = Bytes::new();
        self.pong = None;
    }
}

/// What came on a WebSocket.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The client sent a message.
    Message(Message),
    /// The client sent more of a message that is too long to be handed over as a whole.
    Piece { piece: Message, is_last: bool },
    /// The client asked whether we are there, and will be answered.
    Ping(Bytes),
    /// The client has everything that was sent before the ping with this payload. Otherwise it only
    /// shows that it is there.
    Pong(Bytes),
    /// The client closed, or answered our close. `code` is 1005 if it gave none.
    Closed { code: u16, reason: String },
    /// It is over without a close from the client.
    Failed(SocketError),
}

/// A WebSocket came to an end, but not as it should. What was not acknowledged may not have
/// arrived; the client may connect again.
#[derive(Debug, Error)]
pub(crate) enum SocketError {
    /// The client broke a rule, and was told so.
    #[error("the client broke a rule")]
    Violation(#[from] Violation),
    /// The connection ended without a close, as when a browser is killed.
    #[error("the connection ended without a close")]
    Ended,
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

type ReadFrame = Result<Option<ClientFrame>, Violation>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Both sides may send.
    Open,
    /// Our close frame is the last of what we send; the client's has not come yet.
    Closing,
    /// Nothing comes any more, and nothing new goes.
    Over,
    /// Our direction of the connection is at its end, too.
    Ended,
}

impl State {
    fn is_reading(self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

/// Reads once, into the thread's buffer, and lends what came to `then`; nothing, at the end.
fn poll_read<IO: AsyncRead + Unpin, T>(
    io: &mut IO,
    cx: &mut Context<'_>,
    then: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    let mut buffer = READ_BUFFER.take();
    buffer.resize(READ_BYTES, 0); // No more than a comparison but for the first time.
    let mut read = ReadBuf::new(&mut buffer);
    let polled = Pin::new(io).poll_read(cx, &mut read).map_ok(|()| then(read.filled()));
    READ_BUFFER.set(buffer);
    polled
}

thread_local! {
    /// What is read into. Taken out while it is used.
    static READ_BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
