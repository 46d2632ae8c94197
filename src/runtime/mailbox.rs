//! What is to be told to a handler, one thing at a time and in order.
//!
//! A mailbox belongs to a session, not to a connection: what comes over a WebSocket, in a POST and
//! from the sweeper goes through the same queue. Only a WebSocket that is bare has one of its own. A
//! task runs the queue while there is something in it, so that an idle session costs none.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::error;

use super::Tasks;
use crate::{
    message::Message,
    proto::{Close, CloseCode, CloseReason, Gap},
};

/// How many messages wait for a handler. At the limit the client is not read from.
const MAX_WAITING: usize = 64;

/// How many bytes of messages wait for a handler. At the limit the client is not read from.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// Something to tell a handler.
#[derive(Debug)]
pub(crate) enum Call {
    Ready,
    Message(Message),
    /// A push is open: the hub has the next.
    Push,
    Heartbeat,
    /// The client is back.
    Resumed,
    Gap(Gap),
    Disconnect(CloseReason),
}

/// What a mailbox has to know of what is put into it.
pub(crate) trait Word: Send + 'static {
    /// How many bytes of messages it has.
    fn bytes(&self) -> usize;

    /// Whether nothing comes after it.
    fn is_last(&self) -> bool;

    /// Makes one of this and of something that waits, if the two can be told as one.
    fn join<'a>(&self, waiting: impl DoubleEndedIterator<Item = &'a mut Self>) -> bool {
        let _ = waiting;
        false
    }
}

impl Word for Call {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Disconnect(_)
            | Self::Gap(_)
            | Self::Heartbeat
            | Self::Push
            | Self::Ready
            | Self::Resumed => 0,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Disconnect(_))
    }

    /// Makes one of two gaps in a row of the same topic. So there are at most as many as a session
    /// has topics, whatever the handler does.
    fn join<'a>(&self, waiting: impl DoubleEndedIterator<Item = &'a mut Self>) -> bool {
        let Self::Gap(gap) = self else { return false };
        let earlier = waiting.rev().find_map(|call| match call {
            Self::Gap(earlier) if earlier.topic == gap.topic => Some(earlier),
            _ => None,
        });
        earlier.is_some_and(|earlier| {
            earlier.to.merge(&gap.to);
            true
        })
    }
}

/// A handler, on behalf of one session, or of one bare WebSocket.
pub(crate) trait Callee<W = Call>: Send + Sync {
    /// Tells the handler.
    fn call(&self, call: W) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>>;

    /// The handler wants it to end.
    fn end(&self, close: Close);
}

/// The mailbox has no room. Nothing was put in; waiting for [`Mailbox::poll_room`] helps.
#[derive(Debug)]
pub(crate) struct Full<W = Call>(pub(crate) W);

/// The mailbox of a session, or of a bare WebSocket.
pub(crate) struct Mailbox<W = Call> {
    callee: Box<dyn Callee<W>>,
    tasks: Tasks,
    queue: Mutex<Queue<W>>,
}

struct Queue<W> {
    letters: VecDeque<Letter<W>>,
    bytes: usize,
    running: bool,
    /// Why the handler wants the session to end, if it does: it is told of nothing more but that.
    ended: Option<Close>,
    /// Who waits for room: the session's attachment, and requests.
    waiting: Vec<Waker>,
}

struct Letter<W> {
    call: W,
    answer: Option<oneshot::Sender<Result<(), Close>>>,
}

impl<W: Word> Mailbox<W> {
    pub(crate) fn new(callee: impl Callee<W> + 'static, tasks: Tasks) -> Self {
        Self { callee: Box::new(callee), tasks, queue: Mutex::default() }
    }

    /// Puts something in, whether there is room or not: for what cannot be refused.
    pub(crate) fn post(self: &Arc<Self>, call: W) {
        self.put(Letter { call, answer: None });
    }

    /// Puts something in, if there is room.
    pub(crate) fn try_post(self: &Arc<Self>, call: W) -> Result<(), Full<W>> {
        let has_room = self.queue.lock().has_room();
        if !has_room {
            return Err(Full(call));
        }
        self.post(call);
        Ok(())
    }

    /// Puts something in once there is room, and waits for what the handler says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before there was room puts nothing in; after that, the handler is told
    /// all the same.
    pub(crate) async fn ask(self: &Arc<Self>, call: W) -> Result<(), Close> {
        poll_fn(|cx| self.poll_room(cx)).await;
        let (answer, answered) = oneshot::channel();
        self.put(Letter { call, answer: Some(answer) });
        let going = || Err(Close::new(CloseCode::GoingAway, "the node is shutting down"));
        answered.await.unwrap_or_else(|_| going())
    }

    /// Waits until there is room.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.has_room() {
            return Poll::Ready(());
        }
        if queue.waiting.iter().all(|waiting| !waiting.will_wake(cx.waker())) {
            queue.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn put(self: &Arc<Self>, letter: Letter<W>) {
        let mut queue = self.queue.lock();
        if letter.call.join(queue.letters.iter_mut().map(|waiting| &mut waiting.call)) {
            return;
        }
        queue.bytes += letter.call.bytes();
        queue.letters.push_back(letter);
        if !std::mem::replace(&mut queue.running, true) {
            drop(queue);
            let mailbox = Arc::clone(self);
            self.tasks.spawn(tracing::Span::current(), async move { mailbox.run().await });
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(Letter { call, answer }) = self.take() {
            let ended = self.queue.lock().ended.clone();
            let said = match ended {
                Some(close) if !call.is_last() => Err(close),
                _ => self.tell(call).await,
            };
            if let Some(answer) = answer {
                let _ = answer.send(said); // Who asked may have gone.
            }
        }
    }

    /// Tells the handler. After an error, or a panic, it is told of the end only.
    async fn tell(&self, call: W) -> Result<(), Close> {
        let is_last = call.is_last();
        let said = AssertUnwindSafe(self.callee.call(call)).catch_unwind().await;
        let said = said.unwrap_or_else(|_| {
            error!("a handler panicked; what it handled is closed");
            Err(Close::new(CloseCode::Internal, "the handler failed"))
        });
        let over = || Close::new(CloseCode::Normal, "the session is over");
        if let Some(close) = said.as_ref().err().cloned().or_else(|| is_last.then(over)) {
            self.queue.lock().ended.get_or_insert_with(|| close.clone());
        }
        if let Err(close) = &said {
            self.callee.end(close.clone());
        }
        said
    }

    /// The next letter; if there is none, the queue is no longer run.
    fn take(&self) -> Option<Letter<W>> {
        let mut queue = self.queue.lock();
        let letter = queue.letters.pop_front();
        match &letter {
            Some(letter) => queue.bytes -= letter.call.bytes(),
            None => {
                queue.running = false;
                queue.letters = VecDeque::new();
            }
        }
        let waiting =
            if queue.has_room() { std::mem::take(&mut queue.waiting) } else { Vec::new() };
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
        letter
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self {
            letters: VecDeque::new(),
            bytes: 0,
            running: false,
            ended: None,
            waiting: Vec::new(),
        }
    }
}

impl<W> Queue<W> {
    fn has_room(&self) -> bool {
        self.letters.len() < MAX_WAITING && self.bytes < MAX_WAITING_BYTES
    }
}

impl<W> fmt::Debug for Mailbox<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::task::noop_waker;
    use tokio::sync::Notify;

    use super::*;
    use crate::id::{NodeId, Seq, TopicName};

    /// Refuses the first message once it may, and writes down what it is told.
    #[derive(Clone, Default)]
    struct Strict {
        told: Arc<Mutex<Vec<&'static str>>>,
        ended: Arc<AtomicUsize>,
        may_answer: Arc<Notify>,
    }

    impl Callee for Strict {
        fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
            Box::pin(async move {
                let (name, is_message) = match call {
                    Call::Message(_) => ("message", true),
                    Call::Disconnect(_) => ("disconnect", false),
                    _ => ("other", false),
                };
                self.told.lock().push(name);
                if is_message {
                    self.may_answer.notified().await;
                    return Err(Close::new(CloseCode::Forbidden, "no"));
                }
                Ok(())
            })
        }

        fn end(&self, _: Close) {
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn message() -> Call {
        Call::Message("m".into())
    }

    #[tokio::test]
    async fn after_an_error_the_handler_is_told_of_the_end_only() {
        let strict = Strict::default();
        let mailbox = Arc::new(Mailbox::new(strict.clone(), Tasks::default()));
        mailbox.post(message());
        mailbox.post(message());
        mailbox.post(Call::Heartbeat);
        strict.may_answer.notify_one();
        let refused = mailbox.ask(message()).await.unwrap_err();
        assert_eq!(refused.code, CloseCode::Forbidden);
        mailbox.ask(Call::Disconnect(CloseReason::Application)).await.unwrap();
        assert!(mailbox.ask(message()).await.is_err());
        assert_eq!(*strict.told.lock(), ["message", "disconnect"]);
        assert_eq!(strict.ended.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn gaps_that_wait_are_one_for_each_topic() {
        let strict = Strict::default();
        let mailbox = Arc::new(Mailbox::new(strict.clone(), Tasks::default()));
        mailbox.post(message());
        let upto = |seq| [(NodeId::from_bits(1), Seq::new(seq))].into_iter().collect();
        for seq in 1..1_000 {
            let topic = TopicName::parse(["/a", "/b"][seq as usize % 2]).unwrap();
            mailbox.post(Call::Gap(Gap { topic, from: upto(seq), to: upto(seq + 1) }));
        }
        let waiting = mailbox.queue.lock().letters.len();
        assert!(waiting <= 3, "{waiting}");
        let queue = mailbox.queue.lock();
        let Some(Letter { call: Call::Gap(last), .. }) = queue.letters.back() else { panic!() };
        assert!(last.to == upto(999) || last.to == upto(1_000), "{last:?}");
    }

    #[tokio::test]
    async fn a_full_mailbox_wakes_nobody_before_there_is_room() {
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let strict = Strict::default();
        let mailbox = Arc::new(Mailbox::new(strict.clone(), Tasks::default()));
        while mailbox.try_post(message()).is_ok() {}
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let (waker, other) = (Waker::from(Arc::clone(&count)), noop_waker());
        for _ in 0..3 {
            assert!(mailbox.poll_room(&Context::from_waker(&waker)).is_pending());
            assert!(mailbox.poll_room(&Context::from_waker(&other)).is_pending());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        strict.may_answer.notify_one();
        poll_fn(|cx| mailbox.poll_room(cx)).await;
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
