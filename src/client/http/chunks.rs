//! The rest of an answer, written in chunks.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::client::WriteQueue;

/// How much may wait to be written for the end of the body to be written with it. Any system takes so
/// much at once for a connection on which nothing is under way.
const MAX_WAITING_BYTES: usize = 16 << 10;

/// How much a client may send ahead before it has its answer: no honest one asks for so much behind an
/// answer that goes on. More ends the connection.
const MAX_AHEAD_BYTES: usize = 16 << 10;

/// How long a piece may be to be copied to where its length is. What is longer stays where it is, for
/// all who get it.
const MAX_COPIED_BYTES: usize = 4 << 10;

/// What ends the body.
const END: &[u8] = b"0\r\n\r\n";

/// The rest of an answer on its way.
#[derive(Debug)]
pub(super) struct Chunks<IO, B> {
    io: IO,
    body: B,
    queue: WriteQueue,
    /// What the client sent meanwhile.
    ahead: BytesMut,
    is_over: bool,
}

impl<IO, B> Chunks<IO, B>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body<Error: Into<Box<dyn StdError + Send + Sync>>> + Unpin,
{
    pub(super) fn new(io: IO, ahead: Bytes, body: B) -> Self {
        Self { io, body, queue: WriteQueue::default(), ahead: ahead.into(), is_over: false }
    }

    /// The connection, and what the client has sent meanwhile.
    pub(super) fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.ahead.freeze())
    }

    /// Writes the body as it comes. Ready once it has ended and is written.
    ///
    /// # Errors
    ///
    /// What the connection says, or that the client has ended it or sends too much ahead.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.look(cx)?;
            ready!(self.queue.poll_flush(cx, &mut self.io))?;
            if self.is_over {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Takes the next piece from the body, and its end if that is sure to come with it. All before is
    /// written: to be asked for more means to a body that its client was sent what it gave.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.push(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => {
                    self.queue.push(Bytes::from_static(END));
                    self.is_over = true;
                }
            }
            let ends = !self.is_over && self.body.size_hint().exact() == Some(0);
            if !ends || self.queue.waiting_bytes() > MAX_WAITING_BYTES {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn push(&mut self, mut data: B::Data) {
        let count = data.remaining();
        if count == 0 {
            return; // An empty chunk would be the end.
        }
        let mut chunk = BytesMut::with_capacity(count.min(MAX_COPIED_BYTES) + 16);
        chunk.put_slice(format!("{count:x}\r\n").as_bytes());
        if count <= MAX_COPIED_BYTES {
            chunk.put(data);
            chunk.put_slice(b"\r\n");
            self.queue.push(chunk.freeze());
            return;
        }
        self.queue.push(chunk.freeze());
        self.queue.push(data.copy_to_bytes(count));
        self.queue.push(Bytes::from_static(b"\r\n"));
    }

    /// Whether the client is still there, as far as can be seen.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut buffer = [0; 512];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            match Pin::new(&mut self.io).poll_read(cx, &mut read)? {
                Poll::Ready(()) if read.filled().is_empty() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Poll::Ready(()) if self.ahead.len() >= MAX_AHEAD_BYTES => {
                    return Err(io::Error::other("the client asks for too much at once"));
                }
                Poll::Ready(()) => self.ahead.extend_from_slice(read.filled()),
                Poll::Pending => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn body(pieces: Vec<Bytes>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece)))))
    }

    #[tokio::test]
    async fn a_body_is_written_in_chunks_wherever_it_is_cut() {
        let long = "long".repeat(64 << 10);
        let pieces = ["a", "", &long, &"b".repeat(MAX_COPIED_BYTES)].map(str::to_owned);
        let (near, mut far) = tokio::io::duplex(100);
        let mut chunks = Chunks::new(near, Bytes::new(), body(pieces.map(Bytes::from).into()));
        let writing = async {
            poll_fn(|cx| chunks.poll_write(cx)).await.unwrap();
            drop(chunks);
        };
        let mut read = String::new();
        tokio::join!(writing, async { far.read_to_string(&mut read).await.unwrap() });
        let last = "b".repeat(MAX_COPIED_BYTES);
        assert!(read == format!("1\r\na\r\n40000\r\n{long}\r\n1000\r\n{last}\r\n0\r\n\r\n"));
    }

    #[tokio::test]
    async fn what_the_client_sends_meanwhile_is_kept_up_to_a_limit() {
        for (sent, is_kept) in
            [(1, true), (MAX_AHEAD_BYTES - 3, true), (2 * MAX_AHEAD_BYTES, false)]
        {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            far.write_all(&vec![b'x'; sent]).await.unwrap();
            let mut chunks = Chunks::new(near, Bytes::from_static(b"GET"), body(vec![]));
            assert_eq!(poll_fn(|cx| chunks.poll_write(cx)).await.is_ok(), is_kept, "{sent}");
            let (_, ahead) = chunks.into_parts();
            assert!(ahead.starts_with(b"GETx"));
            assert!(!is_kept || ahead.len() == 3 + sent);
        }
    }

    #[tokio::test]
    async fn who_is_gone_is_noticed_while_there_is_nothing_to_say() {
        let (near, far) = tokio::io::duplex(100);
        drop(far);
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let mut chunks = Chunks::new(near, Bytes::new(), silent);
        let gone = poll_fn(|cx| chunks.poll_write(cx)).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }
}
