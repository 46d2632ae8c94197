//! One topic that a gRPC client reads: a session, attached to the client's stream.
//!
//! A client that never says what it has is taken to have what was written once its connection has
//! stayed sound for long enough, as with event streams. One that says so, by its position, is
//! believed from then on, and asked for nothing else.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use prost::Message as _;
use tracing::debug;

use super::message::AtmosphereMessage;
use crate::{
    client::{
        alarm::Alarm,
        attachment::{BATCH, BUDGET},
        dialect::form,
        opening::Opened,
        stream::SOUND_FOR,
    },
    id::{SessionId, TopicName},
    proto::{Batch, Close, Entry, Mark, Position},
    runtime::{Call, Mailbox, Turn, clock},
};

/// A topic that a client reads. Its session is detached when this is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    opened: Opened,
    topic: TopicName,
    /// What was written since the mark before, and when it is the client's if nothing is said.
    marked: Option<(Mark, Instant)>,
    /// Whether the client says what it has.
    acknowledges: bool,
    alarm: Alarm,
}

impl Subscription {
    pub(super) fn new(opened: Opened, topic: TopicName) -> Self {
        debug!(resumed = opened.attached().resumed, "subscribed");
        let alarm = Alarm::new(clock::now() + SOUND_FOR);
        Self { opened, topic, marked: None, acknowledges: false, alarm }
    }

    /// Puts into `out` what there is to be written; ready once the session is over.
    pub(super) fn poll(&mut self, out: &mut VecDeque<Bytes>, cx: &mut Context<'_>) -> Poll<Close> {
        let mut batch = BATCH.take();
        let key = self.opened.attached().key;
        let polled = match self.opened.hub().poll_turn(key, BUDGET, &mut batch, cx) {
            Poll::Ready(Turn::Write { now }) => {
                self.write(&mut batch, now, out);
                Poll::Pending
            }
            Poll::Ready(Turn::End(close)) => Poll::Ready(close),
            Poll::Pending => Poll::Pending,
        };
        BATCH.set(batch);
        if polled.is_pending() {
            self.poll_alarm(cx);
        }
        polled
    }

    /// The client has everything up to `position`.
    pub(super) fn acknowledge(&mut self, position: &Position) {
        self.acknowledges = true;
        let key = self.opened.attached().key;
        let has = |marked: &Position| position.includes(marked);
        let is_marked =
            self.opened.hub().with(|core, _| core.marked(key, &self.topic).is_none_or(has));
        if let Some((mark, _)) = self.marked.take_if(|_| is_marked) {
            self.opened.hub().with(|core, _| core.acknowledge(key, mark));
            self.mark(clock::now());
        }
    }

    /// The client is done with it, for good.
    pub(super) fn close(self) {
        let key = self.opened.attached().key;
        self.opened.hub().with(|core, now| core.close_from(key, now));
    }

    pub(super) fn session(&self) -> SessionId {
        self.opened.attached().session
    }

    pub(super) fn topic(&self) -> &str {
        self.topic.as_str()
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        self.opened.mailbox()
    }

    /// What is told to a client that has subscribed.
    pub(super) fn ack(&self) -> Bytes {
        AtmosphereMessage::ack(self.topic.as_str(), self.session()).encode_to_vec().into()
    }

    fn write(&mut self, batch: &mut Batch, now: Instant, out: &mut VecDeque<Bytes>) {
        batch.acknowledged.clear();
        for gap in batch.gaps.drain(..) {
            out.push_back(AtmosphereMessage::gap(&gap).encode_to_vec().into());
            self.opened.mailbox().post(Call::Gap(gap));
        }
        let subscribed = self.topic.as_str();
        let last = batch.entries.pop();
        for entry in batch.entries.drain(..) {
            out.push_back(delivery(&entry, subscribed));
        }
        if let Some(last) = last {
            let last = delivery(&last, subscribed);
            out.push_back(match self.position() {
                Some(token) => {
                    Bytes::from([&last[..], &AtmosphereMessage::position(token)[..]].concat())
                }
                None => last,
            });
        }
        self.mark(now);
    }

    /// Where the client is once it has what was read, unless that is too long to be handed back.
    fn position(&self) -> Option<String> {
        let key = self.opened.attached().key;
        let given = |position: &Position| position.token();
        let token = self.opened.hub().with(|core, _| core.given(key, &self.topic).map(given));
        token.filter(|token| token.len() <= Position::MAX_TOKEN_CHARS)
    }

    fn mark(&mut self, now: Instant) {
        if self.marked.is_none() {
            let key = self.opened.attached().key;
            let mark = self.opened.hub().with(|core, _| core.mark(key));
            self.marked = mark.map(|mark| (mark, now + SOUND_FOR));
        }
    }

    /// What was written long enough ago is the client's.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) {
        while let Some((mark, due)) = self.marked
            && !self.acknowledges
        {
            if self.alarm.due() != due {
                self.alarm.set(due);
            }
            let Poll::Ready(now) = self.alarm.poll(cx) else { return };
            let key = self.opened.attached().key;
            self.opened.hub().with(|core, _| core.acknowledge(key, mark));
            self.marked = None;
            self.mark(now);
        }
    }
}

/// A message, which is encoded once for all who read it. What is sent to one session alone is not
/// kept: nobody else reads it.
fn delivery(entry: &Entry, subscribed: &str) -> Bytes {
    let encode = |entry: &Entry| AtmosphereMessage::delivery(entry, subscribed);
    match entry.topic().private_session() {
        Some(_) => encode(entry),
        None => entry.form(form::GRPC, encode).clone(),
    }
}
