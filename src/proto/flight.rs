//! The flight recorder of a node: what happened of late to sessions, and what they were given.
//!
//! What became of a message for a session is told by the state of a node as long as it is, and by
//! this once it is not: that somebody joined behind a message, left before it, or was told that it is
//! gone. There are two rings, so that deliveries, of which there are many, do not push out what
//! happened to sessions. It is always on, as what is to be explained is known afterwards only.
//!
//! # Invariants
//!
//! 1. Neither ring holds more than its limit.
//! 2. All joins, leaves and gaps that this node heard of since [`since`](Flight::since) are in the
//!    ring of sessions.

mod delivery;
mod happened;
mod ring;

use std::time::{Duration, Instant};

use super::Detachment;
use crate::id::{MessageId, SessionId, TopicName};

pub(super) use delivery::{Delivered, Delivery};
pub(super) use happened::Happened;
use ring::Ring;

/// How much of what happened is remembered. At a limit the oldest is forgotten.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "any value is right, and a new limit breaks nobody")]
pub struct FlightLimits {
    /// How many things that happened to sessions: they came, went, joined and left topics, were told
    /// of gaps, ended. They take some 100 bytes each. Defaults to 32,768.
    pub sessions: usize,
    /// How many messages that were handed to connections, and confirmations of clients. They take 48
    /// bytes each. Defaults to 65,536.
    pub deliveries: usize,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self { sessions: 32_768, deliveries: 65_536 }
    }
}

/// Something that happened to a session.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) session: SessionId,
    pub(super) at: Instant,
    pub(super) happened: Happened,
}

const _: () = assert!(size_of::<Event>() <= 64);

/// What sessions were given, counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Deliveries {
    /// Messages that were taken for connections.
    pub given: u64,
    /// Those of them that a filter kept back.
    pub withheld: u64,
    /// Those of them that clients have confirmed.
    pub confirmed: u64,
    /// How often a client was told of a gap.
    pub gaps: u64,
    /// How often a client that was connected was too slow: it was told of a gap, or closed.
    pub slow: u64,
}

/// What happened of late.
#[derive(Debug)]
pub(super) struct Flight {
    limits: FlightLimits,
    /// When what happens now happens, and when the first thing did.
    now: Option<Instant>,
    began: Option<Instant>,
    sessions: Ring<Event>,
    deliveries: Ring<Delivery>,
    /// Since when joins, leaves and gaps are all remembered; `None` if nothing was ever missed.
    since: Option<Instant>,
    /// When the last delivery was that is forgotten, and the last of those that were withheld.
    forgotten: Option<Instant>,
    forgotten_withheld: Option<Instant>,
    /// What is counted, as long as it is.
    counted: Deliveries,
    is_counting: bool,
}

impl Flight {
    pub(super) fn new(limits: FlightLimits) -> Self {
        Self {
            limits,
            now: None,
            began: None,
            sessions: Ring::new(limits.sessions),
            deliveries: Ring::new(limits.deliveries),
            since: None,
            forgotten: None,
            forgotten_withheld: None,
            counted: Deliveries::default(),
            is_counting: true,
        }
    }

    /// What is recorded next happens now.
    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
        self.began.get_or_insert(now);
    }

    /// Something happened to a session.
    pub(super) fn record(&mut self, session: SessionId, happened: Happened) {
        if self.is_counting && matches!(happened, Happened::Gap(_)) {
            self.counted.gaps += 1;
        }
        let Some(at) = self.now else { return };
        match self.sessions.push(Event { session, at, happened }) {
            Some(forgotten) => self.since = Some(forgotten.at),
            None if self.limits.sessions == 0 => self.since = Some(at),
            None => {}
        }
    }

    /// A session's attachment was given messages to write, behind its mark of this number: which
    /// attachment, and which mark.
    pub(super) fn give(
        &mut self,
        session: SessionId,
        mark: (u64, u64),
        messages: impl ExactSizeIterator<Item = MessageId>,
    ) {
        if self.is_counting {
            self.counted.given += messages.len() as u64;
        }
        let at = self.micros();
        for id in messages {
            self.deliver(Delivery::given(session, id, mark, at));
        }
    }

    /// Messages that a session's attachment was given are not written to it after all.
    pub(super) fn withhold(
        &mut self,
        session: SessionId,
        messages: impl ExactSizeIterator<Item = MessageId>,
    ) {
        if self.is_counting {
            self.counted.withheld += messages.len() as u64;
        }
        let at = self.micros();
        messages.for_each(|id| self.deliver(Delivery::withheld(session, id, at)));
    }

    /// A session's client has everything that was written before a mark, of which so many messages
    /// are news.
    pub(super) fn confirm(&mut self, session: SessionId, mark: (u64, u64), messages: u64) {
        if self.is_counting {
            self.counted.confirmed += messages;
        }
        let at = self.micros();
        self.deliver(Delivery::confirmed(session, mark, at));
    }

    /// A client that is connected was too slow for what is kept.
    pub(super) fn overtake(&mut self) {
        self.counted.slow += u64::from(self.is_counting);
    }

    fn deliver(&mut self, delivery: Delivery) {
        let forgotten = match self.limits.deliveries {
            0 => Some(delivery),
            _ => self.deliveries.push(delivery),
        };
        if let Some((forgotten, began)) = forgotten.zip(self.began) {
            let at = Some(began + Duration::from_micros(forgotten.at_micros()));
            self.forgotten = at;
            if forgotten.is_withheld() {
                self.forgotten_withheld = at;
            }
        }
    }

    /// What happened until now was not all heard of.
    pub(super) fn handle_missed(&mut self) {
        self.since = self.now;
    }

    /// Whether all joins, leaves and gaps are remembered that this node heard of since `then`.
    pub(super) fn covers(&self, then: Instant) -> bool {
        self.since.is_none_or(|since| since < then)
    }

    /// Whether all is remembered that sessions of this node were given since `then`.
    pub(super) fn covers_given(&self, then: Instant) -> bool {
        self.forgotten.is_none_or(|forgotten| forgotten < then)
    }

    /// Whether all is remembered that was withheld from sessions of this node, since `then` if it is known
    /// since when that may have been.
    pub(super) fn covers_withheld(&self, then: Option<Instant>) -> bool {
        self.forgotten_withheld.is_none_or(|forgotten| then.is_some_and(|then| forgotten < then))
    }

    /// Since when all joins, leaves and gaps are remembered.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since.or(self.began)
    }

    /// What happened to a session, the first first.
    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = &Event> {
        self.sessions.iter().filter(move |event| event.session == session)
    }

    /// When a session's connection was last given a message, and when its client confirmed that.
    pub(super) fn delivered(&self, session: SessionId, id: MessageId) -> Option<Delivered> {
        let (it, confirmed) = Delivery::find(self.deliveries.iter().rev(), session, id)?;
        let instant = |micros: u64| Some(self.began? + Duration::from_micros(micros));
        Some(Delivered {
            given: instant(it.at_micros())?,
            confirmed: confirmed.and_then(instant),
            is_withheld: it.is_withheld(),
        })
    }

    /// Counts from now on, or no longer.
    pub(super) fn set_counting(&mut self, on: bool) {
        self.is_counting = on;
    }

    /// What was counted.
    pub(super) fn counted(&self) -> Deliveries {
        self.counted
    }

    /// How much is remembered: of sessions, and of deliveries.
    pub(super) fn lengths(&self) -> (usize, usize) {
        (self.sessions.len(), self.deliveries.len())
    }

    fn micros(&self) -> u64 {
        let elapsed = self.now.zip(self.began).map(|(now, began)| now - began);
        elapsed.map_or(0, |it| it.as_micros() as u64)
    }
}

/// What is recorded of operations, by whichever node.
impl Flight {
    /// A session's connection is gone.
    pub(super) fn detach(&mut self, session: SessionId, why: Detachment) {
        self.record(session, Happened::Detached(why));
    }

    /// A session was heard of that is in a topic since nobody knows when.
    pub(super) fn find_member(&mut self, session: SessionId, topic: &TopicName) {
        if topic.private_session().is_none() {
            self.record(session, Happened::Joined { topic: topic.clone(), from: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{NodeId, Seq},
        proto::Position,
    };

    fn session(number: u128) -> SessionId {
        SessionId::from_bits(number)
    }

    fn id(seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq))
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn flight(sessions: usize, deliveries: usize) -> (Flight, Instant) {
        let (mut flight, now) =
            (Flight::new(FlightLimits { sessions, deliveries }), Instant::now());
        flight.set_now(now);
        (flight, now)
    }

    fn joined() -> Happened {
        let topic = TopicName::parse("/a").unwrap();
        Happened::Joined { topic, from: Some(Box::new(Position::new())) }
    }

    #[test]
    fn deliveries_do_not_push_out_what_happened_to_sessions() {
        let (mut flight, now) = flight(2, 100);
        flight.record(session(1), joined());
        flight.give(session(1), (1, 0), (0..1_000).map(id).collect::<Vec<_>>().into_iter());
        assert_eq!(flight.lengths(), (1, 100));
        assert!(flight.covers(now));
        assert_eq!(flight.of(session(1)).count(), 1);
        assert!(flight.delivered(session(1), id(899)).is_none());
        assert!(flight.delivered(session(1), id(900)).is_some());
    }

    #[test]
    fn it_knows_since_when_it_knows_all() {
        let (mut flight, begin) = flight(2, 0);
        let at = |second| begin + Duration::from_secs(second);
        for second in 0..4 {
            flight.set_now(at(second));
            flight.record(session(second.into()), joined());
        }
        assert!(!flight.covers(at(1)));
        assert!(flight.covers(at(2)));
        flight.set_now(at(5));
        flight.handle_missed();
        assert!(!flight.covers(at(5)));
        assert!(flight.covers(at(6)));
        assert_eq!(flight.since(), Some(at(5)));
        let (mut nothing, now) = self::flight(0, 0);
        nothing.record(session(1), joined());
        assert!(!nothing.covers(now));
    }

    #[test]
    fn a_message_is_confirmed_by_the_first_mark_behind_it() {
        let (mut flight, begin) = flight(0, 100);
        let at = |milli| begin + Duration::from_millis(milli);
        let later = |flight: &mut Flight, milli| flight.set_now(at(milli));
        flight.give(session(1), (1, 0), [id(0)].into_iter());
        later(&mut flight, 1);
        flight.give(session(1), (1, 1), [id(1)].into_iter());
        flight.give(session(2), (2, 0), [id(1)].into_iter());
        later(&mut flight, 2);
        flight.confirm(session(1), (1, 1), 2);
        let of = |flight: &Flight, number, seq| flight.delivered(session(number), id(seq)).unwrap();
        assert_eq!(of(&flight, 1, 0).confirmed, Some(at(2)));
        assert_eq!(
            of(&flight, 1, 1),
            Delivered { given: at(1), confirmed: None, is_withheld: false }
        );
        assert_eq!(of(&flight, 2, 1).confirmed, None);
        later(&mut flight, 3);
        flight.confirm(session(1), (3, 7), 0);
        assert_eq!(of(&flight, 1, 1).confirmed, None, "it was told of another connection");
        flight.confirm(session(1), (1, 2), 0);
        assert_eq!(of(&flight, 1, 1).confirmed, Some(at(3)));
        assert_eq!(of(&flight, 1, 0).confirmed, Some(at(2)));
    }
}
