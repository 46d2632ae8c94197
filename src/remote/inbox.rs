//! What came, until the application has had it.
//!
//! A node says behind some messages where it is: a mark. The application has had a message once it
//! comes back for the next, and a mark is passed once the application has had all before it; only
//! then is it confirmed, and only to the connection that it came from.
//!
//! # Invariants
//!
//! 1. `messages` and `bytes` are those of the messages and gaps in `waiting`.
//! 2. Between two messages or gaps there are at most three other events.

use std::collections::VecDeque;

use super::{
    event::{Event, Received},
    seen::Seen,
};

/// Which connection something came from.
pub(super) type ConnectionNumber = u64;

/// What came and the application has not had yet.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: VecDeque<Item>,
    messages: usize,
    bytes: usize,
    /// What the application was given and did not come back from.
    handed: Option<Item>,
    /// The mark passed last, until it is confirmed.
    passed: Option<Mark>,
    /// Where the application is in the route's topic, as the mark said that had it last.
    position: Option<String>,
    seen: Seen,
    /// Whether the application does not want any message.
    is_deaf: bool,
}

#[derive(Debug)]
struct Item {
    event: Event,
    bytes: usize,
    /// The last mark behind it and before the next.
    mark: Option<Mark>,
}

/// A place in what came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    pub(super) connection: ConnectionNumber,
    pub(super) number: u64,
    pub(super) position: Option<String>,
}

impl Inbox {
    /// How many messages wait for the application. At the limit the node is not read from.
    pub(super) const MAX_MESSAGES: usize = 1024;

    /// How many bytes of messages wait for the application. At the limit the node is not read from.
    pub(super) const MAX_BYTES: usize = 4 << 20;

    pub(super) fn new(is_deaf: bool) -> Self {
        Self {
            waiting: VecDeque::new(),
            messages: 0,
            bytes: 0,
            handed: None,
            passed: None,
            position: None,
            seen: Seen::new(),
            is_deaf,
        }
    }

    /// A message came.
    pub(super) fn handle_message(&mut self, received: Received, cause: Option<String>) {
        if self.is_deaf || !self.seen.take(&received.topic, received.id, cause) {
            return;
        }
        let bytes = received.message.len();
        self.add(Event::Message(received), bytes);
    }

    /// A gap, or anything about the connection, is to be told.
    pub(super) fn handle_event(&mut self, event: Event) {
        match &event {
            Event::Gap { .. } if self.is_deaf => {}
            Event::Message(_) | Event::Gap { .. } | Event::Ended { .. } => self.add(event, 0),
            Event::Interrupted { .. } => self.interrupt(event),
            Event::Resumed { .. } | Event::Moved { .. } | Event::Expired { .. } => {
                self.go_on(event);
            }
        }
        self.check();
    }

    /// A mark came.
    pub(super) fn handle_mark(&mut self, mark: Mark) {
        match self.waiting.back_mut().or(self.handed.as_mut()) {
            Some(last) if !self.is_deaf => last.mark = Some(mark),
            _ => self.pass(mark),
        }
    }

    /// The application has had what it was given.
    pub(super) fn done(&mut self) {
        if let Some(mark) = self.handed.take().and_then(|item| item.mark) {
            self.pass(mark);
        }
    }

    /// The application comes for the next event, so it has had the one before.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.done();
        let item = self.waiting.pop_front()?;
        if is_counted(&item.event) {
            self.messages -= 1;
            self.bytes -= item.bytes;
        }
        let event = item.event.clone();
        self.handed = Some(item);
        self.check();
        Some(event)
    }

    /// The mark to confirm to this connection.
    pub(super) fn poll_passed(&mut self, connection: ConnectionNumber) -> Option<u64> {
        let mark = self.passed.take().filter(|mark| mark.connection == connection)?;
        Some(mark.number)
    }

    /// Where the application is in the route's topic.
    pub(super) fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Whether no more should be read before the application comes.
    pub(super) const fn is_full(&self) -> bool {
        self.messages >= Self::MAX_MESSAGES || self.bytes >= Self::MAX_BYTES
    }

    fn add(&mut self, event: Event, bytes: usize) {
        if is_counted(&event) {
            self.messages += 1;
            self.bytes += bytes;
        }
        self.waiting.push_back(Item { event, bytes, mark: None });
        self.check();
    }

    /// A connection is lost. If the application has not even been told that it was there, nothing
    /// need be said, unless a session was lost with the one before.
    fn interrupt(&mut self, event: Event) {
        if !self.ends_with_two_about_connections() {
            return self.add(event, 0);
        }
        let last = self.waiting.back().expect("there are two");
        if !matches!(last.event, Event::Expired { .. }) {
            let Item { mark, .. } = self.waiting.pop_back().expect("there are two");
            let before = self.waiting.back_mut().expect("there was one before");
            before.mark = mark.or_else(|| before.mark.take());
        }
    }

    /// A connection is there again.
    fn go_on(&mut self, event: Event) {
        match self.waiting.back_mut() {
            Some(Item { event: last @ Event::Expired { .. }, .. }) => {
                // It is told once, of the session that it is by now.
                if matches!(event, Event::Expired { .. }) {
                    *last = event;
                }
            }
            _ => self.add(event, 0),
        }
    }

    fn ends_with_two_about_connections(&self) -> bool {
        let mut last = self.waiting.iter().rev().map(|item| &item.event);
        let is_about = |event: Option<&Event>| event.is_some_and(|event| !is_counted(event));
        is_about(last.next()) && is_about(last.next())
    }

    fn pass(&mut self, mark: Mark) {
        if mark.position.is_some() {
            self.position.clone_from(&mark.position);
        }
        self.passed = Some(mark);
    }

    fn check(&self) {
        debug_assert_eq!(
            self.messages,
            self.waiting.iter().filter(|item| is_counted(&item.event)).count()
        );
        debug_assert_eq!(self.bytes, self.waiting.iter().map(|item| item.bytes).sum::<usize>());
    }
}

const fn is_counted(event: &Event) -> bool {
    matches!(event, Event::Message(_) | Event::Gap { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, NodeId, Seq, SessionId, TopicName};

    fn received(seq: u64) -> Received {
        let id = MessageId::new(NodeId::from_bits(1), Seq::new(seq));
        let topic = TopicName::parse("/chat").unwrap();
        Received { id, topic, message: "text".into() }
    }

    fn mark(connection: u64, number: u64) -> Mark {
        Mark { connection, number, position: Some(format!("p{number}")) }
    }

    fn interrupted() -> Event {
        Event::Interrupted { reason: String::new() }
    }

    fn resumed() -> Event {
        Event::Resumed { node: NodeId::from_bits(1) }
    }

    fn expired(session: u128) -> Event {
        Event::Expired { session: SessionId::from_bits(session), node: NodeId::from_bits(1) }
    }

    #[test]
    fn a_mark_is_passed_once_the_application_comes_back_from_all_before_it() {
        let mut inbox = Inbox::new(false);
        inbox.handle_mark(mark(1, 1));
        assert_eq!(inbox.poll_passed(1), Some(1), "there is nothing before it");
        inbox.handle_message(received(1), None);
        inbox.handle_mark(mark(1, 2));
        inbox.handle_message(received(2), None);
        assert_eq!(inbox.next(), Some(Event::Message(received(1))));
        assert_eq!(inbox.poll_passed(1), None, "the application may still be at it");
        assert_eq!(inbox.next(), Some(Event::Message(received(2))));
        assert_eq!(inbox.poll_passed(1), Some(2));
        inbox.handle_mark(mark(1, 3));
        assert_eq!(inbox.poll_passed(1), None);
        assert_eq!(inbox.position(), Some("p2"));
        assert_eq!(inbox.next(), None);
        assert_eq!(inbox.poll_passed(1), Some(3));
        assert_eq!(inbox.position(), Some("p3"));
    }

    #[test]
    fn a_mark_of_a_connection_that_is_gone_is_not_confirmed_but_its_position_counts() {
        let mut inbox = Inbox::new(false);
        inbox.handle_message(received(1), None);
        inbox.handle_mark(mark(1, 1));
        inbox.handle_event(interrupted());
        inbox.handle_event(resumed());
        inbox.handle_message(received(1), None);
        inbox.handle_mark(mark(2, 1));
        assert_eq!(inbox.next(), Some(Event::Message(received(1))));
        assert_eq!(inbox.next(), Some(interrupted()));
        assert_eq!(inbox.position(), Some("p1"));
        assert_eq!(inbox.poll_passed(2), None);
        assert_eq!(inbox.next(), Some(resumed()));
        assert_eq!(inbox.poll_passed(2), None);
        assert_eq!(inbox.next(), None, "the message came before");
        assert_eq!(inbox.poll_passed(2), Some(1));
    }

    #[test]
    fn connections_that_come_and_go_are_told_of_once() {
        let mut inbox = Inbox::new(false);
        for connection in 1..10 {
            inbox.handle_event(interrupted());
            inbox.handle_event(resumed());
            inbox.handle_mark(mark(connection, 1));
        }
        inbox.handle_event(interrupted());
        inbox.handle_event(expired(1));
        for session in 2..10 {
            inbox.handle_event(interrupted());
            inbox.handle_event(expired(session));
            inbox.handle_event(interrupted());
            inbox.handle_event(resumed());
        }
        let told: Vec<_> = std::iter::from_fn(|| inbox.next()).collect();
        assert_eq!(told, [interrupted(), expired(9)]);
        assert_eq!(inbox.position(), Some("p1"));
    }

    #[test]
    fn it_is_full_at_its_limits_until_the_application_comes() {
        let mut inbox = Inbox::new(false);
        for seq in 0..Inbox::MAX_MESSAGES as u64 {
            assert!(!inbox.is_full());
            inbox.handle_message(received(seq), None);
        }
        assert!(inbox.is_full());
        inbox.next();
        assert!(!inbox.is_full());
        let message = vec![0; Inbox::MAX_BYTES].into();
        inbox.handle_message(Received { message, ..received(5_000) }, None);
        assert!(inbox.is_full());
    }

    #[test]
    fn who_wants_no_messages_has_had_all() {
        let mut inbox = Inbox::new(true);
        inbox.handle_event(interrupted());
        inbox.handle_message(received(1), None);
        inbox.handle_mark(mark(1, 1));
        assert_eq!(inbox.poll_passed(1), Some(1));
        assert_eq!(inbox.next(), Some(interrupted()));
        assert_eq!(inbox.next(), None);
    }
}
