//! A WebSocket that is a session's attachment: the task that owns it.
//!
//! ```text
//!            the client closes, breaks a rule, is silent for too long, or is gone
//!   Serving -----------------------------------------------------------------------> Ending
//!      |                                                                               ^
//!      +-------------------------------------------------------------------------------+
//!            a newer attachment, the application, or the node ends it
//! ```
//!
//! What a session is to get is taken from the topics' logs only as the socket takes it, so that a
//! slow client costs a cursor and one batch. An unmodified client acknowledges by answering a ping
//! that was written behind messages: it has read past them. One that speaks postman is asked to
//! confirm by a frame. One mark at a time is under way, and no more often than its [`Pace`] says.

use std::{
    cell::Cell,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, trace};

use super::{
    Greeting, Incoming, Negotiation, Socket, SocketError,
    alarm::Alarm,
    dialect::{Dialect, Pace, Said},
    frame,
    negotiation::AskedHeartbeat,
    opening::Opened,
    signals::Signals,
};
use crate::{
    id::{PushKey, SessionId, TopicName},
    message::Message,
    proto::{AttachmentKey, Batch, Budget, Close, CloseCode, Core, Detachment, Mark, Push},
    runtime::{Call, Full, Hub, Mailbox, Turn, clock},
};

/// How much is taken from the logs at once.
pub(super) const BUDGET: Budget = Budget { messages: 256, bytes: 64 << 10 };

/// After how many heartbeats without an answer a client is taken to be gone.
pub(super) const MAX_MISSED: u32 = 2;

/// How long a client may take to confirm that the connection is closed.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The number of a ping that is a heartbeat: no mark has it.
const HEARTBEAT_PING: u64 = 0;

/// How serving a client ended.
enum End {
    /// By us: the client is told. It may be back.
    Told(Close, Detachment),
    /// By the client, for good.
    Done,
    /// By the client or the network: it may be back.
    Gone(Detachment),
}

/// A WebSocket that is a session's attachment.
pub(super) struct Attachment<IO> {
    socket: Socket<IO>,
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    key: AttachmentKey,
    session: SessionId,
    dialect: Dialect,
    pace: Pace,
    signals: Arc<Signals>,
    /// The waker that `signals` call.
    task: Waker,
    /// Why the client is not read from, if it is not.
    blocked: Option<Blocked>,
    /// Whether the client is not read from because there is no room to answer it.
    is_held: bool,
    /// When the next mark may be written.
    mark_at: Instant,
    /// Whether something was written since the last mark.
    unmarked: bool,
    /// The mark that the client was asked to confirm.
    marked: Option<Mark>,
    /// Whether the client was asked to show that it is there.
    is_beating: bool,
    heartbeat: Heartbeat,
    alarm: Alarm,
}

/// Why a client is not read from.
enum Blocked {
    /// The mailbox has no room for this.
    Mailbox(Call),
    /// Too many pushes are open to take this one.
    Push(PushKey, Message),
    /// What the client said on its last node may still be on its way.
    Takeover,
}

/// Who is handed to the socket and to the timer.
struct Wakers {
    reading: Waker,
    timing: Waker,
}

struct Heartbeat {
    every: Duration,
    due: Instant,
    missed: u32,
    /// Whether anything was written since the last one.
    written: bool,
    /// Whether the client wants no text that says nothing.
    is_silent: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Attachment<IO> {
    pub(super) fn new(
        mut socket: Socket<IO>,
        opened: Opened,
        negotiation: &Negotiation,
        path: &TopicName,
    ) -> Self {
        let now = clock::now();
        let (hub, mailbox, attached) = opened.release();
        let (key, session) = (attached.key, attached.session);
        let dialect = Dialect::new(negotiation, path);
        let greeting = dialect.greeting(Greeting::of(negotiation), session);
        let hello = dialect.hello(&attached, hub.id(), None);
        greeting.into_iter().chain(hello).for_each(|frame| socket.push(frame));
        let every = negotiation.heartbeat.or(hub.heartbeat());
        let heartbeat = Heartbeat {
            every,
            due: now + every,
            missed: 0,
            written: false,
            is_silent: negotiation.heartbeat == AskedHeartbeat::Off,
        };
        debug!(resumed = attached.resumed, ?dialect, "attached");
        Self {
            socket,
            hub,
            mailbox,
            key,
            session,
            pace: dialect.pace(),
            dialect,
            signals: Signals::new(),
            task: Waker::noop().clone(),
            blocked: Some(Blocked::Takeover),
            is_held: false,
            mark_at: now,
            unmarked: false,
            marked: None,
            is_beating: false,
            alarm: Alarm::new(heartbeat.due),
            heartbeat,
        }
    }

    /// Serves the client until it is gone. Once.
    ///
    /// By reference, as a future that owned it would hold it twice, for every client.
    pub(super) async fn run(&mut self) {
        let wakers =
            Wakers { reading: self.signals.reading_waker(), timing: self.signals.timing_waker() };
        let end = poll_fn(|cx| self.poll_serve(cx, &wakers)).await;
        let why = match end {
            End::Told(close, why) => {
                debug!(code = close.code.get(), reason = %close.reason, "closing");
                self.socket.start_close(close.code.get(), &close.reason);
                why
            }
            End::Done => {
                debug!("done");
                self.hub.with(|core, now| core.close_from(self.key, now));
                Detachment::Left
            }
            End::Gone(why) => {
                debug!(written_bytes = self.socket.queue().written_bytes(), ?why, "gone");
                why
            }
        };
        self.hub.detach(self.key, why);
        let closed = poll_fn(|cx| self.socket.poll_shutdown(cx));
        let _ = tokio::time::timeout(CLOSE_PATIENCE, closed).await; // Who is gone is gone.
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>, wakers: &Wakers) -> Poll<End> {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            self.signals.register(cx.waker());
        }
        // Who was ended is not read from, and need not have room to learn of it.
        if (self.signals.is_reading() || !self.socket.has_room())
            && let Poll::Ready(close) = self.hub.poll_ended(self.key, cx)
        {
            return Poll::Ready(End::Told(close, Detachment::Other));
        }
        if let Poll::Ready(end) = self.poll_incoming(cx, &wakers.reading) {
            return Poll::Ready(end);
        }
        loop {
            let has_all = match self.poll_turns(cx) {
                Poll::Ready(close) => return Poll::Ready(End::Told(close, Detachment::Other)),
                Poll::Pending => self.socket.has_room(),
            };
            if let Poll::Ready(close) = self.poll_alarm(&mut Context::from_waker(&wakers.timing)) {
                return Poll::Ready(End::Told(close, Detachment::Lost));
            }
            match self.socket.poll_flush(cx) {
                Poll::Ready(Ok(())) if has_all => {
                    // The hub knows whom to wake by now, so that nothing is missed.
                    self.retry();
                    if std::mem::take(&mut self.is_held) {
                        self.signals.set_reading();
                    }
                    if self.blocked.is_none() && self.signals.is_reading() {
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    debug!(%error, "the connection broke");
                    return Poll::Ready(End::Gone(Detachment::Lost));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes from the logs what there is, as far as there is room for it; ready at the end. If there
    /// is room when it is not, all was taken.
    fn poll_turns(&mut self, cx: &Context<'_>) -> Poll<Close> {
        let mut batch = BATCH.take();
        let polled = loop {
            if !self.socket.has_room() {
                break Poll::Pending;
            }
            match self.hub.poll_turn(self.key, BUDGET, &mut batch, cx) {
                Poll::Ready(Turn::Write { now }) => self.write(&mut batch, now),
                Poll::Ready(Turn::End(close)) => break Poll::Ready(close),
                Poll::Pending => break Poll::Pending,
            }
            if !batch.more {
                break Poll::Pending;
            }
        };
        BATCH.set(batch);
        polled
    }

    /// Reads what the client sends, as far as the handler keeps up.
    fn poll_incoming(&mut self, cx: &mut Context<'_>, reading: &Waker) -> Poll<End> {
        match self.blocked.take() {
            Some(Blocked::Mailbox(call)) if self.mailbox.poll_room(cx).is_ready() => {
                self.mailbox.post(call);
                self.signals.set_reading();
            }
            blocked => self.blocked = blocked,
        }
        if self.blocked.is_some() || !self.signals.take_reading() {
            return Poll::Pending;
        }
        let mut reader = Context::from_waker(reading);
        while self.may_read()
            && let Poll::Ready(incoming) = self.socket.poll_next(&mut reader)
        {
            self.heartbeat.missed = 0;
            match incoming {
                Incoming::Message(message) => {
                    if let Err(close) = self.handle_message(message) {
                        return Poll::Ready(End::Told(close, Detachment::Violation));
                    }
                    if self.blocked.is_some() {
                        return self.poll_incoming(cx, reading);
                    }
                }
                Incoming::Ping(_) => {}
                Incoming::Pong(payload) => {
                    frame::pong_number(&payload).into_iter().for_each(|it| self.handle_pong(it));
                }
                Incoming::Piece { .. } => unreachable!("a session has whole messages only"),
                Incoming::Closed { code, .. } if code == CloseCode::Normal.get() => {
                    return Poll::Ready(End::Done);
                }
                Incoming::Closed { code, reason } => {
                    debug!(code, reason, "the client closed");
                    return Poll::Ready(End::Gone(Detachment::Left));
                }
                Incoming::Failed(error) => {
                    debug!(%error, "the connection failed");
                    return Poll::Ready(End::Gone(match error {
                        SocketError::Violation(_) => Detachment::Violation,
                        SocketError::Ended | SocketError::Io(_) => Detachment::Lost,
                    }));
                }
            }
        }
        Poll::Pending
    }

    /// The client answered a ping, or made an answer up: what was not asked changes nothing.
    fn handle_pong(&mut self, number: u64) {
        if number == HEARTBEAT_PING && std::mem::take(&mut self.is_beating) {
            // If the handler does not keep up, it need not hear of this.
            let _ = self.mailbox.try_post(Call::Heartbeat);
        }
        if self.dialect.confirms_by_pong() {
            self.acknowledge(Mark::new(number));
        }
    }

    fn handle_message(&mut self, message: Message) -> Result<(), Close> {
        match self.dialect.read(message)? {
            Said::Message(message) => self.tell(Call::Message(message)),
            Said::Heartbeat => self.tell(Call::Heartbeat),
            Said::Confirmed(mark) => self.acknowledge(mark),
            Said::Push(key, message) => self.push(key, message),
        }
        Ok(())
    }

    fn tell(&mut self, call: Call) {
        if let Err(Full(call)) = self.mailbox.try_post(call) {
            self.blocked = Some(Blocked::Mailbox(call));
        }
    }

    /// Hands over what must not be lost, or keeps it until it can be.
    fn push(&mut self, key: PushKey, message: Message) {
        match self.hub.with(|core, now| core.push(self.key, &key, &message, now)) {
            Push::Later => self.blocked = Some(Blocked::Push(key, message)),
            Push::Refused(refused) => {
                self.socket.push(self.dialect.refused(key, &refused.to_string()));
            }
            _ => {}
        }
    }

    /// Tries again what the hub could not do before.
    fn retry(&mut self) {
        match self.blocked.take() {
            Some(Blocked::Push(key, message)) => self.push(key, message),
            Some(Blocked::Takeover) => {
                let is_due = |core: &mut Core| core.is_taking_over(self.session);
                self.blocked = self.hub.with(|core, _| is_due(core)).then_some(Blocked::Takeover);
            }
            blocked => {
                self.blocked = blocked;
                return;
            }
        }
        if self.blocked.is_none() {
            self.signals.set_reading();
        }
    }

    /// The client has what it was asked about, or made that up: what was not asked changes nothing.
    fn acknowledge(&mut self, confirmed: Mark) {
        if let Some(mark) = self.marked.take_if(|mark| *mark == confirmed) {
            trace!(number = mark.get(), "acknowledged");
            self.hub.with(|core, _| core.acknowledge(self.key, mark));
            if self.unmarked {
                self.set_alarm();
            }
        }
    }

    /// Whether there is room for an answer to what is read next, if that has to be answered.
    fn may_read(&mut self) -> bool {
        self.is_held = self.dialect.answers() && !self.socket.has_room();
        !self.is_held
    }

    fn write(&mut self, batch: &mut Batch, now: Instant) {
        for acknowledgement in batch.acknowledged.drain(..) {
            self.socket.push(self.dialect.acknowledged(acknowledgement));
        }
        if batch.is_empty() {
            return;
        }
        for gap in batch.gaps.drain(..) {
            self.dialect.gap(&gap).into_iter().for_each(|frame| self.socket.push(frame));
            self.mailbox.post(Call::Gap(gap));
        }
        trace!(messages = batch.entries.len(), "writing");
        for entry in batch.entries.drain(..) {
            self.socket.push(self.dialect.message(&entry).clone());
        }
        self.heartbeat.written = true;
        self.unmarked = true;
        if now >= self.mark_at {
            self.mark(now);
        } else if self.alarm.due() > self.mark_at + self.pace.patience {
            self.set_alarm();
        }
    }

    /// Asks the client to confirm what it was given, unless it is being asked.
    fn mark(&mut self, now: Instant) {
        self.mark_at = now + self.pace.every;
        let marked = self.hub.with(|core, _| {
            let mark = core.mark(self.key)?;
            let position = self.dialect.told_position();
            let position = position.and_then(|topic| core.marked(self.key, topic)).cloned();
            Some((mark, position))
        });
        if let Some((mark, position)) = marked {
            self.unmarked = false;
            self.marked = Some(mark);
            self.socket.push(self.dialect.mark(mark, position.as_ref()));
        }
        if self.unmarked || self.alarm.due() < self.mark_at + self.pace.patience {
            self.set_alarm(); // While messages flow, it is put off again and again.
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Close> {
        while self.signals.take_timing() {
            let now = ready!(self.alarm.poll(cx));
            if self.heartbeat.due <= now
                && let Some(close) = self.beat(now)
            {
                return Poll::Ready(close);
            }
            if self.is_mark_due(now) {
                self.mark(now);
            }
            self.set_alarm();
        }
        Poll::Pending
    }

    /// Whether the client is to be asked, once it is time: one answer at a time is waited for.
    fn wants_mark(&self) -> bool {
        self.unmarked && self.marked.is_none()
    }

    fn is_mark_due(&self, now: Instant) -> bool {
        self.wants_mark() && self.mark_at + self.pace.patience <= now
    }

    /// Sets the alarm to what is due next.
    fn set_alarm(&mut self) {
        let beat = self.heartbeat.due;
        let mark = self.wants_mark().then_some(self.mark_at + self.pace.patience);
        self.alarm.set(mark.map_or(beat, |mark| mark.min(beat)));
        self.signals.set_timing();
    }

    /// A heartbeat is due. Says why the client is given up, if it is.
    fn beat(&mut self, now: Instant) -> Option<Close> {
        let heartbeat = &mut self.heartbeat;
        heartbeat.due = now + heartbeat.every;
        // Who is not read from, because its handler does not keep up, cannot answer.
        heartbeat.missed += u32::from(self.blocked.is_none());
        if heartbeat.missed > MAX_MISSED {
            return Some(Close::new(CloseCode::GoingAway, "nothing was heard for too long"));
        }
        let is_due = !std::mem::take(&mut heartbeat.written) && !heartbeat.is_silent;
        if self.dialect.has_heartbeats() && is_due {
            self.socket.push(self.dialect.heartbeat());
        }
        self.is_beating = true;
        self.socket.push(frame::ping(HEARTBEAT_PING));
        None
    }
}

thread_local! {
    /// What is read into from the logs, to be reused. Taken out while it is used.
    pub(super) static BATCH: Cell<Batch> = Cell::default();
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin};

    use bytes::Bytes;
    use http::HeaderMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        id::NodeId,
        proto::{Limits, Presence},
        runtime::{Callee, HEARTBEAT, Tasks},
    };

    struct Nobody;

    impl Callee for Nobody {
        fn call(&self, _: Call) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
            Box::pin(async { Ok(()) })
        }

        fn end(&self, _: Close) {}
    }

    /// What is known of why a client is gone, after it said `bytes` and closed its side.
    async fn why_gone(bytes: &[u8], is_shut_down: bool) -> Presence {
        let tasks = Tasks::default();
        let (hub, _told) = Hub::new(NodeId::from_bits(1), Limits::default(), tasks.clone());
        let (hub, mailbox) = (Arc::new(hub), Arc::new(Mailbox::new(Nobody, tasks)));
        let (mut client, server) = tokio::io::duplex(4096);
        let negotiation = Negotiation::read(&"/chat".parse().unwrap(), &HeaderMap::new()).unwrap();
        let path = TopicName::parse("/chat").unwrap();
        let (fresh, connection) = (SessionId::from_bits(7), negotiation.connection());
        let attached =
            hub.attach(None, fresh, path.as_str(), &negotiation.holder, connection, None);
        let socket = Socket::new(server, Bytes::new(), crate::client::Reader::new(1024));
        let opened = Opened::new(Arc::clone(&hub), mailbox, attached);
        let mut attachment = Attachment::new(socket, opened, &negotiation, &path);
        if is_shut_down {
            hub.end_attachments(&Close::new(CloseCode::GoingAway, "bye"));
        }
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        attachment.run().await;
        hub.with(|core, _| core.replica().session(fresh).unwrap().presence)
    }

    #[tokio::test(start_paused = true)]
    async fn why_a_client_is_gone_is_known() {
        let leaves = b"\x88\x82\0\0\0\0\x03\xe9";
        let breaks_a_rule = b"\x83\x80\0\0\0\0";
        for (bytes, is_shut_down, why) in [
            (&leaves[..], false, Detachment::Left),
            (&breaks_a_rule[..], false, Detachment::Violation),
            (b"", false, Detachment::Lost),
            (b"", true, Detachment::NodeLeft),
        ] {
            let found = why_gone(bytes, is_shut_down).await;
            assert_eq!(found, Presence::Detached(why), "{bytes:?}");
        }
    }

    /// Goal: who wants no text that says nothing is asked all the same whether it is there.
    #[tokio::test(start_paused = true)]
    async fn a_dead_client_is_noticed_whatever_heartbeat_it_asked_for() {
        for (asked, texts, patience) in [("", 2, 3), ("0", 0, 3), ("4000000000", 2, 36)] {
            let tasks = Tasks::default();
            let (hub, _told) = Hub::new(NodeId::from_bits(1), Limits::default(), tasks.clone());
            let (hub, mailbox) = (Arc::new(hub), Arc::new(Mailbox::new(Nobody, tasks)));
            let (mut client, server) = tokio::io::duplex(4096);
            let uri = format!(
                "/chat?X-atmo-protocol&X-Heartbeat-Server={asked}\
                               &X-Atmosphere-Framework=5.0.1&X-Atmosphere-Transport=websocket"
            );
            let negotiation = Negotiation::read(&uri.parse().unwrap(), &HeaderMap::new()).unwrap();
            let path = TopicName::parse("/chat").unwrap();
            let connection = negotiation.connection();
            let (fresh, holder) = (SessionId::from_bits(7), &negotiation.holder);
            let attached = hub.attach(None, fresh, path.as_str(), holder, connection, None);
            let socket = Socket::new(server, Bytes::new(), crate::client::Reader::new(1024));
            let opened = Opened::new(hub, mailbox, attached);
            let mut attachment = Attachment::new(socket, opened, &negotiation, &path);
            let begin = clock::now();
            attachment.run().await;
            drop(attachment);
            let lived = clock::now() - begin;
            assert!(lived <= HEARTBEAT * patience + CLOSE_PATIENCE, "{asked}: {lived:?}");
            let mut written = Vec::new();
            client.read_to_end(&mut written).await.unwrap();
            let count =
                |frame: &[u8]| written.windows(frame.len()).filter(|it| *it == frame).count();
            assert_eq!((count(b"\x81\x01X"), count(b"\x89\x08")), (texts, 2), "{asked}");
        }
    }
}
