//! What a handler says on a bare WebSocket, on its way to the task that writes it.

use std::{
    borrow::Cow,
    collections::VecDeque,
    mem,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::message::Message;

/// What is to be written on a bare WebSocket.
#[derive(Debug)]
pub(crate) enum Saying {
    Message(Message),
    /// A question, of at most 125 bytes.
    Ping(Bytes),
    /// The end. Nothing comes after it.
    Close {
        code: u16,
        reason: Cow<'static, str>,
    },
}

impl Saying {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping(payload) => payload.len(),
            Self::Close { .. } => 0,
        }
    }

    /// How much of the room it takes: what is longer than that has to have all of it.
    fn cost(&self) -> u32 {
        (SAYING_BYTES + self.bytes()).min(Line::LIMIT_BYTES) as u32
    }
}

/// The line is at its end. Nothing was said; nothing can be.
#[derive(Debug)]
pub(crate) struct Over;

/// A queue of what is to be written on a bare WebSocket, in which whoever has something to say waits
/// for room.
#[derive(Debug)]
pub(crate) struct Line {
    /// How many bytes may still be put in. Closed when nothing may any more.
    room: Semaphore,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    sayings: VecDeque<Saying>,
    /// Whether the end was said, or came: nothing is put in any more.
    is_over: bool,
    /// The task that writes.
    writer: Option<Waker>,
}

impl Line {
    /// How many bytes wait to be written. At the limit who sends waits; one message may be longer.
    pub(crate) const LIMIT_BYTES: usize = 64 * 1024;

    pub(crate) fn new() -> Self {
        Self { room: Semaphore::new(Self::LIMIT_BYTES), queue: Mutex::default() }
    }

    /// Says something once there is room. What one task says is written in that order.
    ///
    /// # Errors
    ///
    /// [`Over`] if the connection is over, or ends while there is no room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was said.
    pub(crate) async fn say(&self, saying: Saying) -> Result<(), Over> {
        let room = self.room.acquire_many(saying.cost()).await.map_err(|_| Over)?;
        let writer = {
            let mut queue = self.queue.lock();
            if queue.is_over {
                return Err(Over);
            }
            room.forget();
            queue.sayings.push_back(saying);
            queue.writer.take()
        };
        writer.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Ends the line, with a close behind all that was said. Does nothing if it is over.
    pub(crate) fn close(&self, code: u16, reason: Cow<'static, str>) {
        let mut queue = self.queue.lock();
        if mem::replace(&mut queue.is_over, true) {
            return;
        }
        queue.sayings.push_back(Saying::Close { code, reason });
        let writer = queue.writer.take();
        drop(queue);
        self.room.close();
        writer.into_iter().for_each(Waker::wake);
    }

    /// What is to be written next, and so no longer waits.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Saying> {
        let mut queue = self.queue.lock();
        match queue.sayings.pop_front() {
            Some(saying) => {
                if queue.sayings.is_empty() {
                    queue.sayings = VecDeque::new();
                }
                drop(queue);
                self.room.add_permits(saying.cost() as usize);
                Poll::Ready(saying)
            }
            None => {
                queue.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The connection is over: nothing more is written.
    pub(crate) fn end(&self) {
        self.room.close();
        let mut queue = self.queue.lock();
        queue.is_over = true;
        queue.sayings = VecDeque::new();
        queue.writer = None;
    }

    /// Whether something can still be said.
    pub(crate) fn is_open(&self) -> bool {
        !self.queue.lock().is_over
    }
}

/// What one costs beside its bytes.
const SAYING_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::Arc};

    use futures_util::{future::join_all, poll, task::noop_waker};

    use super::*;

    fn message(bytes: usize) -> Saying {
        Saying::Message(Message::binary(vec![0; bytes]))
    }

    fn next(line: &Line) -> Option<Saying> {
        match line.poll_next(&Context::from_waker(&noop_waker())) {
            Poll::Ready(saying) => Some(saying),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn who_says_more_than_is_written_waits() {
        let line = Line::new();
        line.say(message(Line::LIMIT_BYTES / 2)).await.unwrap();
        let mut long = pin!(line.say(message(4 * Line::LIMIT_BYTES)));
        assert!(poll!(&mut long).is_pending(), "what is too long for all of the room waits for it");
        let mut short = pin!(line.say(message(1)));
        assert!(poll!(&mut short).is_pending(), "nobody overtakes who waits");
        assert!(next(&line).is_some() && poll!(&mut long).is_ready());
        assert!(poll!(&mut short).is_pending());
        assert!(next(&line).is_some() && poll!(&mut short).is_ready());
        assert!(next(&line).is_some() && next(&line).is_none());
    }

    #[tokio::test]
    async fn the_end_is_said_once_and_behind_all_else() {
        let line = Line::new();
        line.say(message(1)).await.unwrap();
        line.close(4000, "first".into());
        line.close(4001, "second".into());
        assert!(line.say(message(1)).await.is_err() && !line.is_open());
        assert!(matches!(next(&line), Some(Saying::Message(_))));
        assert!(matches!(next(&line), Some(Saying::Close { code: 4000, .. })));
        assert!(next(&line).is_none());
    }

    #[tokio::test]
    async fn who_waits_when_it_is_over_learns_of_it() {
        let line = Arc::new(Line::new());
        line.say(message(Line::LIMIT_BYTES)).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(Box::pin(line.say(message(1))));
        }
        for waiting in &mut waiting {
            assert!(poll!(waiting).is_pending());
        }
        line.end();
        assert!(join_all(waiting).await.iter().all(Result::is_err));
        assert!(next(&line).is_none(), "what was not written is forgotten");
    }

    #[tokio::test]
    async fn the_writer_is_woken() {
        let line = Line::new();
        let (said, ()) = tokio::join!(poll_fn(|cx| line.poll_next(cx)), async {
            tokio::task::yield_now().await;
            line.say(message(3)).await.unwrap();
        });
        assert_eq!(said.bytes(), 3);
    }
}
