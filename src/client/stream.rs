//! Event streams and streamed responses: an answer that goes on for as long as there is a client.
//!
//! The answer's body is the session's attachment. The server that holds the connection asks it for
//! the next piece whenever there is room for one, and drops it when the client is gone, so that it
//! needs no task of its own.
//!
//! Nobody says that a piece has arrived. What was handed over is taken to be the client's once the
//! connection has stayed sound for so long that the system would have noticed otherwise; a client
//! that comes back before that gets it again, unless it says what it has. One that speaks postman is
//! asked, and says by posts what its application has.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tracing::debug;

use super::{
    ClientVersion, Greeting, Negotiation, Transport,
    alarm::Alarm,
    attachment::{BATCH, BUDGET},
    dialect::Dialect,
    negotiation::AskedHeartbeat,
    opening::Opened,
};
use crate::{
    id::TopicName,
    proto::{Batch, Mark, Position},
    runtime::{Call, Turn, clock},
};

/// How long a connection has to stay sound after something was written, until that has arrived:
/// somewhat longer than the system lets go by without a sign of life from the client.
pub(super) const SOUND_FOR: Duration = Duration::from_secs(32);

/// How long a stream may say nothing that has no heartbeat: whether its client is still there could not
/// be known. It ends then, and who is there asks again.
const QUIET_FOR: Duration = Duration::from_secs(300);

/// How soon an `EventSource` comes back, where it may have wanted to wait longer.
const RETRY: &[u8] = b"retry:1000\r\n\r\n";

/// What is an event to nobody.
const COMMENT: &[u8] = b":\r\n\r\n";

/// How long a message may be to be copied to where others are. What is longer stays where it is, for
/// all who get it.
const MAX_COPIED_BYTES: usize = 4 << 10;

/// So much white space comes first for old clients, which see no less.
pub(super) const PADDING_SPACES: usize = 2048;

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Stream {
    opened: Opened,
    dialect: Dialect,
    path: TopicName,
    is_events: bool,
    /// What is sent before anything else: the greeting, or what did not go with the piece before.
    next: VecDeque<Bytes>,
    /// What is sent when nothing was for a while, if anything.
    heartbeat: Option<Bytes>,
    every: Duration,
    beat_at: Instant,
    /// What was written is the client's at this time.
    marked: Option<(Mark, Instant)>,
    /// Whether something was given that may not be written yet.
    is_given: bool,
    alarm: Alarm,
    is_over: bool,
}

impl Stream {
    pub(super) fn new(opened: Opened, negotiation: &Negotiation, path: &TopicName) -> Self {
        let dialect = Dialect::new(negotiation, path);
        let is_events = negotiation.transport == Transport::Sse;
        let greeting = dialect.greeting(Greeting::of(negotiation), opened.attached().session);
        let hello = dialect.hello(opened.attached(), opened.hub().id(), opened.series());
        let mut first = match is_events {
            true => BytesMut::from(RETRY),
            false => padding(negotiation),
        };
        greeting.into_iter().chain(hello).for_each(|said| first.extend_from_slice(&said));
        let has_heartbeats =
            dialect.has_heartbeats() && negotiation.heartbeat != AskedHeartbeat::Off;
        let heartbeat = match (has_heartbeats, is_events) {
            (true, _) => Some(dialect.heartbeat()),
            (false, true) => Some(Bytes::from_static(COMMENT)),
            (false, false) => None,
        };
        let every = match heartbeat {
            Some(_) => negotiation.heartbeat.or(opened.hub().heartbeat()),
            None => QUIET_FOR,
        };
        let beat_at = clock::now() + every;
        debug!(resumed = opened.attached().resumed, ?dialect, "streaming");
        Self {
            opened,
            dialect,
            path: path.clone(),
            is_events,
            next: Some(first.freeze()).filter(|first| !first.is_empty()).into_iter().collect(),
            heartbeat,
            every,
            beat_at,
            marked: None,
            is_given: false,
            alarm: Alarm::new(beat_at),
            is_over: false,
        }
    }

    /// The next piece; `None` at the end. To be asked for once the piece before is written.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.next.is_empty() && std::mem::take(&mut self.is_given) {
            self.mark(clock::now());
        }
        loop {
            if let Some(next) = self.next.pop_front() {
                return Poll::Ready(Some(next));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let mut batch = BATCH.take();
            let key = self.opened.attached().key;
            let piece = match self.opened.hub().poll_turn(key, BUDGET, &mut batch, cx) {
                Poll::Ready(Turn::Write { now }) => self.encode(&mut batch, now),
                Poll::Ready(Turn::End(close)) => {
                    debug!(code = close.code.get(), reason = %close.reason, "ending");
                    self.is_over = true;
                    self.dialect.closed(&close).unwrap_or_default()
                }
                Poll::Pending => {
                    match self.question().map_or_else(|| self.poll_alarm(cx), Poll::Ready) {
                        Poll::Ready(piece) => piece,
                        Poll::Pending => {
                            BATCH.set(batch);
                            return Poll::Pending;
                        }
                    }
                }
            };
            BATCH.set(batch);
            if !piece.is_empty() {
                return Poll::Ready(Some(piece));
            }
        }
    }

    /// Everything of a batch as one piece, and where the client is with it.
    fn encode(&mut self, batch: &mut Batch, now: Instant) -> Bytes {
        let (hub, key) = (Arc::clone(self.opened.hub()), self.opened.attached().key);
        batch.acknowledged.clear();
        let mut told = BytesMut::new();
        for gap in batch.gaps.drain(..) {
            told.extend_from_slice(&self.dialect.gap(&gap).unwrap_or_default());
            self.opened.mailbox().post(Call::Gap(gap));
        }
        let last = batch.entries.pop();
        for entry in batch.entries.drain(..) {
            told.extend_from_slice(self.dialect.message(&entry));
        }
        if self.is_events && !self.dialect.answers() {
            let token = hub.with(|core, _| core.given(key, &self.path).map(Position::token));
            if let Some(token) = token.filter(|token| token.len() <= Position::MAX_TOKEN_CHARS) {
                told.extend_from_slice(format!("id:{token}\r\n").as_bytes());
            }
        }
        self.beat_at = now + self.every;
        self.is_given = true;
        let question = self.question();
        match last {
            Some(last)
                if told.is_empty() && question.is_none()
                    || last.message().len() > MAX_COPIED_BYTES =>
            {
                self.next.push_back(self.dialect.message(&last).clone());
                self.next.extend(question);
            }
            last => {
                last.iter().for_each(|last| told.extend_from_slice(self.dialect.message(last)));
                told.extend_from_slice(&question.unwrap_or_default());
            }
        }
        told.freeze()
    }

    /// Asks a client that speaks postman to confirm what it was given, unless it is being asked. When
    /// it does, by a post, this is woken.
    fn question(&self) -> Option<Bytes> {
        let topic = self.dialect.told_position()?;
        let key = self.opened.attached().key;
        let (mark, position) = self.opened.hub().with(|core, _| {
            let mark = core.mark(key)?;
            Some((mark, core.marked(key, topic).cloned()))
        })?;
        Some(self.dialect.mark(mark, position.as_ref()))
    }

    /// What other clients were given is theirs after a while.
    fn mark(&mut self, now: Instant) {
        if self.marked.is_none() && !self.dialect.answers() {
            let (hub, key) = (self.opened.hub(), self.opened.attached().key);
            let mark = hub.with(|core, _| core.mark(key));
            self.marked = mark.map(|mark| (mark, now + SOUND_FOR));
        }
    }

    /// Does what time asks for, which may be to write something.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            let due = self.marked.map_or(self.beat_at, |(_, due)| due.min(self.beat_at));
            if self.alarm.due() > due || self.alarm.due() <= clock::now() {
                self.alarm.set(due);
            }
            let now = ready!(self.alarm.poll(cx));
            if let Some((mark, _)) = self.marked.take_if(|(_, due)| *due <= now) {
                let key = self.opened.attached().key;
                self.opened.hub().with(|core, _| core.acknowledge(key, mark));
                self.mark(now);
            }
            if self.beat_at <= now {
                self.beat_at = now + self.every;
                self.is_over = self.heartbeat.is_none();
                return Poll::Ready(self.heartbeat.clone().unwrap_or_default());
            }
        }
    }
}

/// What an old client is sent first, which it takes for nothing.
pub(super) fn padding(negotiation: &Negotiation) -> BytesMut {
    let mut padding = BytesMut::new();
    if negotiation.client == ClientVersion::Legacy {
        padding.resize(PADDING_SPACES, b' ');
        padding.extend_from_slice(b"\n");
    }
    padding
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin};

    use super::*;
    use crate::{
        client::opening::fresh_id,
        id::NodeId,
        proto::{Close, Limits},
        runtime::{Callee, Hub, Mailbox, Tasks},
    };

    struct Nobody;

    impl Callee for Nobody {
        fn call(&self, _: Call) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
            Box::pin(async { Ok(()) })
        }

        fn end(&self, _: Close) {}
    }

    fn stream(query: &str) -> Stream {
        let tasks = Tasks::default();
        let (hub, _told) = Hub::new(NodeId::from_bits(1), Limits::default(), tasks.clone());
        let mailbox = Arc::new(Mailbox::new(Nobody, tasks));
        let uri = format!("/chat?X-Atmosphere-Transport=streaming&{query}").parse().unwrap();
        let negotiation = Negotiation::read(&uri, &http::HeaderMap::new()).unwrap();
        let holder = crate::proto::Holder::default();
        let attached =
            hub.attach(None, fresh_id(), "/chat", &holder, negotiation.connection(), None);
        let opened = Opened::new(Arc::new(hub), mailbox, attached);
        Stream::new(opened, &negotiation, &TopicName::parse("/chat").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quiet_for_long_ends_as_its_client_may_be_gone() {
        let begin = clock::now();
        let mut quiet = stream("");
        assert_eq!(poll_fn(|cx| quiet.poll_piece(cx)).await, None);
        assert_eq!(clock::now() - begin, QUIET_FOR);
        let mut beating = stream("X-atmo-protocol=true&X-Atmosphere-Framework=5.0.7");
        for _ in 0..20 {
            assert!(poll_fn(|cx| beating.poll_piece(cx)).await.is_some());
        }
    }
}
