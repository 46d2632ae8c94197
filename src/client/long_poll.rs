//! One long poll: a request that is answered once there is something to say.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, yield_now};
use tracing::debug;

use super::{
    Framing, Greeting, Negotiation, Transport,
    alarm::Alarm,
    attachment::{BATCH, BUDGET},
    dialect::Dialect,
    jsonp::Callback,
    poller::{Connection, Polled, Poller, Ticket},
};
use crate::{
    proto::{Batch, Budget, Close, Mark, Position},
    runtime::{Call, clock},
};

/// A long poll, and then its answer.
pub(super) struct LongPoll {
    poller: Arc<Poller>,
    ticket: Ticket,
    connection: Option<Connection>,
    dialect: Dialect,
    budget: Budget,
    /// What comes before the answer, as soon as the poll is parked.
    padding: Option<Bytes>,
    /// The answer, if it is known already.
    greeting: Option<Bytes>,
    /// What the first answer of a series begins with.
    hello: Option<Bytes>,
    /// Whether the client waits for that.
    is_waited_for: bool,
    /// The answer if there is nothing to say for long.
    idle: Bytes,
    /// The answer, which waits until the connection was looked at.
    held: Option<(Bytes, Look)>,
    callback: Option<Callback>,
    /// Whether the client asks again only once it has the answer, and does not say what it has.
    is_implicit: bool,
    alarm: Alarm,
    progress: Progress,
}

/// A round of the runtime, in which it hears of connections. A client may be gone already when there
/// is something to say, and what says so is only heard of then: an answer that went out before would
/// be taken for fetched, as the client's next poll says no less.
///
/// It is a task, as who is polled again in the same round must not think that the round is over.
type Look = JoinHandle<()>;

#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the round, and nobody waits for it at shutdown"
)]
fn look() -> Look {
    tokio::spawn(yield_now())
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Parked,
    Answered,
    /// The answer was fetched to its end.
    Done,
}

impl LongPoll {
    /// A poll of a client. It may be uncertain whether that waits for a handshake.
    pub(super) fn new(
        poller: Arc<Poller>,
        ticket: Ticket,
        connection: Option<Connection>,
        negotiation: &Negotiation,
        greeting: Greeting,
        is_certain: bool,
    ) -> Self {
        let dialect = Dialect::new(negotiation, poller.path());
        let opened = poller.opened();
        let greeting = dialect.greeting(greeting, opened.attached().session);
        let hello = dialect.hello(opened.attached(), opened.hub().id(), opened.series());
        // Two messages that are not framed would be one; and a new client that may be waiting for a
        // handshake takes two that come together for it.
        let messages = match negotiation.framing {
            Framing::Length if is_certain => BUDGET.messages,
            _ if negotiation.postman => BUDGET.messages,
            _ => 1,
        };
        let idle = if negotiation.is_stock() { dialect.heartbeat() } else { Bytes::new() };
        let padding = super::stream::padding(negotiation);
        let patience = match negotiation.transport {
            Transport::Polling => Duration::ZERO,
            _ => negotiation.heartbeat.or(opened.hub().heartbeat()),
        };
        debug!(?dialect, greeted = greeting.is_some(), "polled");
        poller.opened().hub().counters().park();
        Self {
            poller,
            ticket,
            connection,
            dialect,
            budget: Budget { messages, ..BUDGET },
            padding: (!padding.is_empty()).then(|| padding.freeze()),
            greeting,
            hello: hello.filter(|_| ticket.is_first()),
            is_waited_for: negotiation.series.is_none(),
            idle,
            held: None,
            callback: negotiation.callback.clone(),
            is_implicit: negotiation.position.is_none()
                && (negotiation.is_stock() || negotiation.asked.session().is_some())
                && !negotiation.postman,
            alarm: Alarm::new(clock::now() + patience),
            progress: Progress::Parked,
        }
    }

    /// The next piece of the answer; `None` at its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.progress != Progress::Parked {
            self.finish();
            return Poll::Ready(None);
        }
        if self.callback.is_none()
            && let Some(padding) = self.padding.take()
        {
            return Poll::Ready(Some(padding));
        }
        self.poll_answer(cx).map(|answer| {
            let answer = answer.unwrap_or_default();
            let answer = match &self.callback {
                Some(callback) => callback.call(&answer),
                None => answer,
            };
            if answer.is_empty() {
                self.finish();
                return None;
            }
            Some(answer)
        })
    }

    /// It is answered at once, whether there is something to say or not.
    pub(super) fn hurry(&mut self) {
        self.alarm.set(clock::now());
    }

    /// Whether nothing follows what was given.
    pub(super) fn is_answered(&self) -> bool {
        self.progress != Progress::Parked
    }

    /// Waits for the whole answer, which is empty if there is nothing to say for long.
    ///
    /// # Errors
    ///
    /// Why there is nothing more to be said.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Close>> {
        if self.held.is_none() {
            let answer = match ready!(self.poll_said(cx)) {
                Ok(answer) => answer,
                Err(close) => {
                    // Or a script would be said again and again.
                    self.progress = Progress::Answered;
                    return Poll::Ready(Err(close));
                }
            };
            self.held = Some((answer, look()));
        }
        let (_, look) = self.held.as_mut().expect("an answer is held");
        let _over = ready!(Pin::new(look).poll(cx));
        self.progress = Progress::Answered;
        let (answer, _) = self.held.take().expect("an answer is held");
        Poll::Ready(Ok(answer))
    }

    /// Waits for what there is to say.
    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Close>> {
        if let Some(greeting) = self.greeting.take() {
            return Poll::Ready(Ok(greeting));
        }
        if self.is_waited_for && self.hello.is_some() {
            return Poll::Ready(Ok(self.hello_alone()));
        }
        loop {
            let mut batch = BATCH.take();
            let connection = self.connection.as_ref();
            let polled = self.poller.poll(self.ticket, self.budget, connection, &mut batch, cx);
            let answer = match polled {
                Poll::Ready(Polled::Some(question)) => match self.encode(&mut batch, question) {
                    answer if answer.is_empty() => None,
                    answer if is_blank(&answer) && !self.idle.is_empty() => {
                        Some(Ok(self.idle.clone()))
                    }
                    answer => Some(Ok(answer)),
                },
                Poll::Ready(Polled::Superseded) => Some(Ok(self.idle.clone())),
                Poll::Ready(Polled::Ended(close)) => Some(self.dialect.closed(&close).ok_or(close)),
                Poll::Pending if self.alarm.poll(cx).is_ready() => Some(Ok(self.hello_alone())),
                Poll::Pending => {
                    BATCH.set(batch);
                    return Poll::Pending;
                }
            };
            BATCH.set(batch);
            match answer {
                Some(answer) => return Poll::Ready(answer),
                None => self.poller.skip(),
            }
        }
    }

    /// The client has fetched the answer to its end, as far as that can be seen from here. It is not
    /// waited until this is dropped: by then the client may have polled again.
    pub(super) fn finish(&mut self) {
        if self.progress != Progress::Done {
            self.progress = Progress::Done;
            self.poller.leave(self.ticket, true, self.is_implicit);
        }
    }

    /// The hello, if it is to be said still; else what is said if there is nothing to say.
    fn hello_alone(&mut self) -> Bytes {
        let hello = self.hello.take().filter(|_| self.poller.count(self.ticket));
        hello.unwrap_or_else(|| self.idle.clone())
    }

    fn encode(&mut self, batch: &mut Batch, question: Option<(Mark, Option<Position>)>) -> Bytes {
        batch.acknowledged.clear();
        let mut told = BytesMut::new();
        told.extend_from_slice(&self.hello.take().unwrap_or_default());
        for gap in batch.gaps.drain(..) {
            told.extend_from_slice(&self.dialect.gap(&gap).unwrap_or_default());
            self.poller.opened().mailbox().post(Call::Gap(gap));
        }
        for entry in batch.entries.drain(..) {
            told.extend_from_slice(self.dialect.message(&entry));
        }
        if let Some((mark, position)) = question {
            told.extend_from_slice(&self.dialect.mark(mark, position.as_ref()));
        }
        told.freeze()
    }
}

/// Whether stock clients take an answer for none, as all of it is white space to a script. They would
/// not tell of it, but old ones think then that the connection was lost.
fn is_blank(answer: &[u8]) -> bool {
    let is_space = |it: char| it.is_whitespace() && it != '\u{85}' || it == '\u{feff}';
    str::from_utf8(answer).is_ok_and(|text| text.chars().all(is_space))
}

impl Drop for LongPoll {
    fn drop(&mut self) {
        self.poller.opened().hub().counters().unpark();
        if self.progress != Progress::Done {
            self.poller.leave(self.ticket, false, self.is_implicit);
        }
    }
}

impl fmt::Debug for LongPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LongPoll").field("progress", &self.progress).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_trims_away_is_blank() {
        for text in ["", " ", " \r\n\t", "\u{a0}\u{feff}\u{2028}\u{3000}"] {
            assert!(is_blank(text.as_bytes()), "{text:?}");
        }
        for text in ["X", "  a", "0|", "1| ", "\u{200b}", "\u{85}"] {
            assert!(!is_blank(text.as_bytes()), "{text:?}");
        }
    }
}
