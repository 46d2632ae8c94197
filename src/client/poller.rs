//! A session whose client polls: one poll after the other, each an answer to be fetched.
//!
//! ```text
//!            a poll comes           there is something, or it took long
//!    Away ------------------> Parked ----------------------------------> Away
//!      |                        |
//!      | too long               | a newer poll comes: the older one ends
//!      v                        v
//!     gone                    Parked
//! ```
//!
//! An answer is kept until the next poll: only that shows that it has arrived. It shows nothing if
//! the answer was not fetched to its end, or if the client has dropped the connection that it came
//! on, which it would have used again. Then the session is attached anew, and so begins again with
//! what was acknowledged before.
//!
//! A client that speaks postman says itself which answers it has, in a [`Series`] of polls, and by posts
//! what its application has.
//!
//! A client that drops a poll has lost its connection: its session is detached at once, so that
//! whichever node it comes back to knows that it does, and can greet it as it then expects.

use std::{
    mem,
    sync::Weak,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};

use super::{opening::Opened, series::Series};
use crate::{
    id::TopicName,
    proto::{AttachmentKey, Batch, Budget, Close, Detachment, Mark, Position},
    runtime::{Hub, Turn, clock},
};

/// How long a client may take until its next poll. After that it is as if its connection was gone.
const AWAY_PATIENCE: Duration = Duration::from_secs(10);

/// A session whose client polls.
#[derive(Debug)]
pub(super) struct Poller {
    opened: Opened,
    path: TopicName,
    watches: bool,
    /// The series of polls that this is, of a client that speaks postman: it says what it has itself.
    series: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Counts the polls: only the newest is answered.
    newest: u64,
    /// Counts the answers, as the client of a series does.
    answers: u64,
    /// Who waits for the newest.
    parked: Option<Waker>,
    /// Since when there is no poll.
    away_since: Option<Instant>,
    /// The answer to the poll before.
    given: Given,
    /// Whether the client has dropped a poll, and the session is detached.
    is_dropped: bool,
}

/// What became of an answer.
#[derive(Debug, Default)]
struct Given {
    /// What was in it, if anything was.
    mark: Option<Mark>,
    /// Whether it was not fetched to its end.
    is_torn: bool,
    /// The connection it went by, if that was to be used again.
    connection: Option<Connection>,
}

/// A connection, as long as somebody holds it.
pub(super) type Connection = Weak<dyn Send + Sync>;

/// The answer before may be lost.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lost {
    /// The session is to be attached anew.
    Attachment {
        /// Whether the connections of this client are still to be watched: of one that drops each,
        /// that says nothing.
        watches: bool,
    },
    /// The client is to begin another series.
    Turn,
}

/// What a poll comes to.
#[derive(Debug)]
pub(super) enum Polled {
    /// There is something in the batch, or this is to be asked of a client of a series.
    Some(Option<(Mark, Option<Position>)>),
    /// A newer poll has come.
    Superseded,
    /// The session is over, or was taken over.
    Ended(Close),
}

/// One poll among those of its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticket(u64);

impl Ticket {
    pub(super) fn is_first(self) -> bool {
        self.0 == 1
    }
}

/// A poll has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) ticket: Ticket,
    /// Whether the one before was not answered: a client that asks one thing at a time has lost it.
    pub(super) is_back: bool,
}

impl Poller {
    /// `watches` says whether a connection that the client dropped is a sign that it has not got its
    /// answer.
    pub(super) fn new(opened: Opened, path: TopicName, watches: bool) -> Self {
        let state = State {
            newest: 0,
            answers: 0,
            parked: None,
            away_since: Some(clock::now()),
            given: Given::default(),
            is_dropped: false,
        };
        let series = opened.series();
        Self { opened, path, watches, series, state: Mutex::new(state) }
    }

    pub(super) fn path(&self) -> &TopicName {
        &self.path
    }

    pub(super) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Whether the session is over, detached, or attached elsewhere.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().is_dropped || self.hub().ended(self.key()).is_some()
    }

    /// Whether nobody will come for it.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        let away_since = self.state.lock().away_since;
        away_since.is_some_and(|since| now >= since + AWAY_PATIENCE || self.is_over())
    }

    /// A poll has come, and the one that is parked ends. Its client may say where it is, in the topic or
    /// in a series.
    ///
    /// # Errors
    ///
    /// [`Lost`]: it cannot go on here.
    pub(super) fn begin(
        &self,
        at: Option<&Position>,
        series: Option<Series>,
    ) -> Result<Begun, Lost> {
        let mut state = self.state.lock();
        if state.is_dropped || self.series != series.map(|series| series.name) {
            return Err(Lost::Attachment { watches: self.watches });
        }
        match series {
            Some(series) if series.had != state.answers => return Err(Lost::Turn),
            Some(_) => {}
            None => {
                self.hub().with(|core, _| core.set_implied(self.key(), false));
                self.settle(mem::take(&mut state.given), at)?;
            }
        }
        Ok(self.enter(state))
    }

    /// The first poll has come.
    pub(super) fn start(&self) -> Begun {
        self.enter(self.state.lock())
    }

    fn enter(&self, mut state: MutexGuard<'_, State>) -> Begun {
        state.newest += 1;
        state.away_since = None;
        let (ticket, older) = (Ticket(state.newest), state.parked.take());
        drop(state);
        let is_back = older.is_some();
        older.into_iter().for_each(Waker::wake);
        Begun { ticket, is_back }
    }

    /// There is an answer that is not of what there is to read. Whether it is to be given: to an older
    /// poll it is not.
    pub(super) fn count(&self, ticket: Ticket) -> bool {
        let mut state = self.state.lock();
        let is_newest = state.newest == ticket.0;
        state.answers += u64::from(is_newest);
        is_newest
    }

    /// The client has the answer before, if it can have it.
    fn settle(&self, given: Given, at: Option<&Position>) -> Result<(), Lost> {
        let (key, session) = (self.key(), self.opened.attached().session);
        let Some(mark) = given.mark else {
            if let Some(at) = at {
                self.hub().with(|core, _| core.resume_at(session, &self.path, at));
            }
            return Ok(());
        };
        let is_dropped = given.connection.is_some_and(|connection| connection.strong_count() == 0);
        let has = match at {
            Some(at) => self.hub().with(|core, _| {
                core.marked(key, &self.path).is_none_or(|marked| at.includes(marked))
            }),
            None => !given.is_torn && !is_dropped,
        };
        if !has {
            return Err(Lost::Attachment { watches: self.watches && !is_dropped });
        }
        self.hub().with(|core, _| core.acknowledge(key, mark));
        Ok(())
    }

    /// What a poll comes to, and into `batch` what there is. Its answer goes by `connection`.
    pub(super) fn poll(
        &self,
        ticket: Ticket,
        budget: Budget,
        connection: Option<&Connection>,
        batch: &mut Batch,
        cx: &Context<'_>,
    ) -> Poll<Polled> {
        let mut state = self.state.lock();
        if state.newest != ticket.0 {
            return Poll::Ready(Polled::Superseded);
        }
        state.parked = None;
        match self.hub().poll_turn(self.key(), budget, batch, cx) {
            Poll::Ready(Turn::Write { .. }) if self.series.is_some() => {
                state.answers += 1;
                Poll::Ready(Polled::Some(self.question()))
            }
            Poll::Ready(Turn::Write { .. }) => {
                let connection = connection.filter(|_| self.watches).cloned();
                let mark = self.hub().with(|core, _| core.mark(self.key()));
                state.given = Given { mark, is_torn: true, connection };
                Poll::Ready(Polled::Some(None))
            }
            Poll::Ready(Turn::End(close)) => Poll::Ready(Polled::Ended(close)),
            Poll::Pending => match self.question() {
                Some(question) => {
                    state.answers += 1;
                    Poll::Ready(Polled::Some(Some(question)))
                }
                None => {
                    state.parked = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        }
    }

    /// What the client of a series is to confirm next, by a post, unless it is being asked.
    fn question(&self) -> Option<(Mark, Option<Position>)> {
        self.series?;
        self.hub().with(|core, _| {
            let mark = core.mark(self.key())?;
            Some((mark, core.marked(self.key(), &self.path).cloned()))
        })
    }

    /// Nothing of what was given reaches the client: it is not waited for.
    pub(super) fn skip(&self) {
        if let Some(mark) = mem::take(&mut self.state.lock().given).mark {
            self.hub().with(|core, _| core.acknowledge(self.key(), mark));
        }
    }

    /// A poll is over. Its answer may have been fetched to its end; and the client may be one that
    /// does not come again unless it has it. If the answer was not, the client is gone for now.
    pub(super) fn leave(&self, ticket: Ticket, is_whole: bool, implied: bool) {
        let mut state = self.state.lock();
        if state.newest == ticket.0 {
            state.parked = None;
            state.away_since = Some(clock::now());
            state.given.is_torn &= !is_whole;
            if !is_whole {
                state.is_dropped = true;
                self.hub().detach(self.key(), Detachment::Lost);
            } else if implied {
                self.hub().with(|core, _| core.set_implied(self.key(), true));
            }
        }
    }

    fn hub(&self) -> &Hub {
        self.opened.hub()
    }

    fn key(&self) -> AttachmentKey {
        self.opened.attached().key
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, sync::Arc};

    use super::{
        super::{
            attachment::BUDGET,
            opening::{Opened, fresh_id},
        },
        *,
    };
    use crate::{
        id::NodeId,
        proto::{Holder, Limits},
        runtime::{Call, Callee, Mailbox, Tasks},
    };

    const POLLED: crate::Connection = crate::Connection {
        transport: crate::Transport::LongPolling,
        evidence: crate::Evidence::NextRequest,
    };

    struct Nobody;

    impl Callee for Nobody {
        fn call(&self, _: Call) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
            Box::pin(async { Ok(()) })
        }

        fn end(&self, _: Close) {}
    }

    fn poller() -> Poller {
        let tasks = Tasks::default();
        let (hub, _told) = Hub::new(NodeId::from_bits(1), Limits::default(), tasks.clone());
        let mailbox = Arc::new(Mailbox::new(Nobody, tasks));
        let attached = hub.attach(None, fresh_id(), "/chat", &Holder::default(), POLLED, None);
        let opened = Opened::new(Arc::new(hub), mailbox, attached);
        Poller::new(opened, TopicName::parse("/chat").unwrap(), true)
    }

    fn park(poller: &Poller, ticket: Ticket) {
        let cx = Context::from_waker(Waker::noop());
        let polled = poller.poll(ticket, BUDGET, None, &mut Batch::default(), &cx);
        assert!(polled.is_pending());
    }

    #[tokio::test]
    async fn who_drops_a_poll_is_gone_at_once_for_every_node() {
        let poller = poller();
        let begun = poller.start();
        park(&poller, begun.ticket);
        poller.leave(begun.ticket, false, true);
        assert!(poller.is_over());
        assert!(poller.begin(None, None).is_err());
        let session = poller.opened().attached().session;
        assert!(
            poller
                .hub()
                .attach(Some(session), fresh_id(), "/chat", &Holder::default(), POLLED, None)
                .was_gone
        );
    }

    #[tokio::test]
    async fn who_polls_again_without_an_answer_is_back() {
        let poller = poller();
        let first = poller.start();
        assert!(!first.is_back);
        park(&poller, first.ticket);
        let second = poller.begin(None, None).unwrap();
        assert!(second.is_back);
        poller.leave(first.ticket, false, true);
        assert!(!poller.is_over(), "the client is here");
        park(&poller, second.ticket);
        poller.leave(second.ticket, true, true);
        assert!(!poller.begin(None, None).unwrap().is_back);
    }
}
