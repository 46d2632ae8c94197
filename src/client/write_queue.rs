//! What is on its way to one connection, written with as few system calls as there can be.
//!
//! A system call costs more than anything else in sending, so whatever waits is written together:
//! one frame as it is, many small ones copied into one buffer, and large ones gathered where they
//! lie. The buffer belongs to the thread. A connection with nothing to send owns no memory here.
//!
//! # Invariants
//!
//! 1. No piece is empty.
//! 2. `waiting_bytes` is the total length of the pieces.

use std::{
    cell::Cell,
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Bytes on their way to one connection.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    pieces: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// How many bytes the connection has ever taken.
    written_bytes: u64,
    /// Whether the connection took something since it was last flushed.
    unflushed: bool,
}

impl WriteQueue {
    /// How much may wait before [`has_room`](Self::has_room) is false.
    pub(crate) const LIMIT_BYTES: usize = 256 * 1024;

    /// Puts a piece at the end.
    ///
    /// Never fails: whoever puts something in stops when there is no more [room](Self::has_room).
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.waiting_bytes += piece.len();
            self.pieces.push_back(piece);
        }
        self.check();
    }

    /// Writes all there is, as far as the connection takes it. Ready once all is written.
    ///
    /// # Errors
    ///
    /// What the connection says. It is of no more use then.
    ///
    /// # Cancel safety
    ///
    /// What was written is gone from the queue, and only that.
    pub(crate) fn poll_flush<IO: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut IO,
    ) -> Poll<io::Result<()>> {
        // A connection that took a part will most likely take nothing now, so that gathering for
        // it again would be in vain.
        let mut cut = false;
        while !self.pieces.is_empty() {
            let (offered, written) = match self.shape() {
                Shape::Small(count) if !cut => ready!(self.poll_write_copied(cx, io, count)),
                Shape::Large if !cut && io.is_write_vectored() => {
                    ready!(self.poll_write_gathered(cx, io))
                }
                _ => ready!(self.poll_write_first(cx, io)),
            }?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            cut = written < offered;
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets what has not been written.
    pub(crate) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.waiting_bytes = 0;
    }

    /// Whether more should be put in.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes + self.pieces.len() * size_of::<Bytes>() < Self::LIMIT_BYTES
    }

    /// How many bytes are still to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether all is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// How many bytes have been written since the beginning.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// How many bytes will have been written since the beginning once all is.
    #[cfg(test)]
    pub(crate) fn pushed_bytes(&self) -> u64 {
        self.written_bytes + self.waiting_bytes as u64
    }

    /// How the first pieces are best written.
    fn shape(&self) -> Shape {
        let (mut small, mut bytes) = (0, 0);
        for piece in &self.pieces {
            bytes += piece.len();
            if piece.len() >= LARGE_BYTES || bytes > BATCH_BYTES {
                break;
            }
            small += 1;
        }
        match small {
            _ if self.pieces.len() == 1 => Shape::One,
            0 | 1 => Shape::Large,
            count => Shape::Small(count),
        }
    }

    fn poll_write_first<IO: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        io: &mut IO,
    ) -> Poll<io::Result<(usize, usize)>> {
        let first = self.pieces.front().expect("there is something to write");
        Pin::new(io).poll_write(cx, first).map_ok(|written| (first.len(), written))
    }

    fn poll_write_copied<IO: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        io: &mut IO,
        count: usize,
    ) -> Poll<io::Result<(usize, usize)>> {
        let mut batch = BATCH.take();
        batch.clear();
        for piece in self.pieces.iter().take(count) {
            batch.extend_from_slice(piece);
        }
        let polled = Pin::new(io).poll_write(cx, &batch);
        let offered = batch.len();
        BATCH.set(batch);
        polled.map_ok(|written| (offered, written))
    }

    fn poll_write_gathered<IO: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        io: &mut IO,
    ) -> Poll<io::Result<(usize, usize)>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut count, mut offered) = (0, 0);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
            offered += piece.len();
        }
        let polled = Pin::new(io).poll_write_vectored(cx, &slices[..count]);
        polled.map_ok(|written| (offered, written))
    }

    fn advance(&mut self, written: usize) {
        self.unflushed = true;
        self.written_bytes += written as u64;
        self.waiting_bytes -= written;
        let mut left = written;
        while left > 0 {
            let first = self.pieces.front_mut().expect("what was written was in the queue");
            if first.len() > left {
                first.advance(left);
                break;
            }
            left -= first.len();
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() {
            // The next connection to be written to takes the same memory, which is at hand.
            drop(mem::take(&mut self.pieces));
        }
        self.check();
    }

    fn check(&self) {
        debug_assert!(self.pieces.iter().all(|piece| !piece.is_empty()));
        debug_assert_eq!(self.waiting_bytes, self.pieces.iter().map(Bytes::len).sum::<usize>());
    }
}

/// What lies at the front of a queue.
enum Shape {
    /// One piece, and that is all.
    One,
    /// This many pieces, at least two, that are small enough to be copied.
    Small(usize),
    /// A large piece, or a small one before a large one.
    Large,
}

thread_local! {
    /// Where small pieces are put together. Taken out while it is used.
    static BATCH: Cell<Vec<u8>> = Cell::new(Vec::with_capacity(BATCH_BYTES));
}

/// How much is copied together at most.
const BATCH_BYTES: usize = 64 * 1024;
/// From here on, handing a piece over where it lies costs less than copying it.
const LARGE_BYTES: usize = 2 * 1024;
/// How many pieces are gathered at most.
const MAX_SLICES: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// A connection that takes so many bytes at once and notes each system call.
    struct Counting {
        takes: usize,
        /// How many slices and bytes each call brought.
        calls: Vec<(usize, usize)>,
        taken: Vec<u8>,
    }

    impl Counting {
        fn new(takes: usize) -> Self {
            Self { takes, calls: Vec::new(), taken: Vec::new() }
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = all.len().min(self.takes);
            self.calls.push((slices.len(), all.len()));
            self.taken.extend_from_slice(&all[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes pieces of these sizes, and returns what calls that took.
    fn calls(takes: usize, sizes: &[usize]) -> Vec<(usize, usize)> {
        let (mut queue, mut io) = (WriteQueue::default(), Counting::new(takes));
        let mut expected = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            expected.extend(vec![number as u8; *size]);
            queue.push(vec![number as u8; *size].into());
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(queue.poll_flush(&mut cx, &mut io), Poll::Ready(Ok(()))));
        assert_eq!(io.taken, expected);
        assert!(queue.is_empty() && queue.waiting_bytes == 0);
        assert_eq!(queue.written_bytes(), expected.len() as u64);
        assert_eq!(queue.pieces.capacity(), 0);
        io.calls
    }

    #[test]
    fn what_waits_is_written_together() {
        let all = usize::MAX;
        assert_eq!(calls(all, &[]), []);
        assert_eq!(calls(all, &[100]), [(1, 100)]);
        assert_eq!(calls(all, &[100, 0, 200, 300]), [(1, 600)]);
        assert_eq!(calls(all, &[5000, 5000]), [(2, 10_000)]);
        assert_eq!(calls(all, &[10, 5000]), [(2, 5010)]);
        assert_eq!(calls(all, &[10, 10, 5000, 10]), [(1, 20), (2, 5010)]);
        assert_eq!(calls(all, &[1024; 65]), [(1, 65_536), (1, 1024)]);
        assert_eq!(calls(all, &[4096; 65]), [(64, 64 * 4096), (1, 4096)]);
    }

    #[test]
    fn a_connection_that_takes_parts_gets_all_in_order() {
        for takes in [1, 3, 7, 64, 1000] {
            calls(takes, &[1, 2, 3, 500, 2048, 1, 1, 4096, 4096, 2]);
        }
    }

    #[test]
    fn nothing_is_gathered_for_a_connection_that_just_took_a_part() {
        assert_eq!(calls(10, &[8, 8, 8]), [(1, 24), (1, 6), (1, 8)]);
    }

    #[tokio::test]
    async fn a_small_pipe_gets_all_in_order() {
        let (mut near, mut far) = duplex(64);
        let mut queue = WriteQueue::default();
        let mut expected = Vec::new();
        for number in 0..2_000_usize {
            let piece = vec![number as u8; number % 37];
            expected.extend_from_slice(&piece);
            queue.push(piece.into());
        }
        let reading = async {
            let mut read = vec![0; expected.len()];
            far.read_exact(&mut read).await.unwrap();
            read
        };
        let (written, read) = tokio::join!(poll_fn(|cx| queue.poll_flush(cx, &mut near)), reading);
        written.unwrap();
        assert_eq!(read, expected);
    }

    #[test]
    fn there_is_room_until_the_limit() {
        let mut queue = WriteQueue::default();
        queue.push(vec![0; WriteQueue::LIMIT_BYTES / 2].into());
        assert!(queue.has_room());
        queue.push(vec![0; WriteQueue::LIMIT_BYTES / 2].into());
        assert!(!queue.has_room());
        queue.clear();
        // Many small pieces cost more than their bytes.
        for _ in 0..WriteQueue::LIMIT_BYTES / size_of::<Bytes>() {
            queue.push(Bytes::from_static(b"x"));
        }
        assert!(!queue.has_room());
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_is_an_error() {
        let (mut near, far) = duplex(64);
        drop(far);
        let mut queue = WriteQueue::default();
        queue.push(Bytes::from_static(b"x"));
        assert!(poll_fn(|cx| queue.poll_flush(cx, &mut near)).await.is_err());
        let mut zero = Counting::new(0);
        let error = poll_fn(|cx| queue.poll_flush(cx, &mut zero)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
