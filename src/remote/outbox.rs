//! What was pushed and is not acknowledged yet.
//!
//! Pushes are numbered from 1 under an epoch, which is random, and kept until they are
//! acknowledged. They are sent in order, [`WINDOW`](Outbox::WINDOW) of them at most on their way,
//! and once more from the oldest on: on a new connection, and when nothing was acknowledged for a
//! while. A new session knows nothing of them, so for it they are numbered afresh: what a push keeps
//! is its [`Ticket`].
//!
//! # Invariants
//!
//! 1. `oldest <= cursor <= sent <= end`, where `end` is the number that the next push will get.
//! 2. `queue` holds exactly the pushes `oldest..end`, in order, and the first was not refused.
//! 3. `due` is known exactly when a push is on its way: `oldest < cursor`.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{acknowledgement::Acknowledgement, dice::Dice, error::PushError};
use crate::{id::PushKey, message::Message, postman::FromClient};

/// Names a push within this client, for ever.
pub(super) type Ticket = u64;

/// What became of a push.
pub(super) type Settled = (Ticket, Result<Acknowledgement, PushError>);

/// Pushes on their way.
#[derive(Debug)]
pub(super) struct Outbox {
    epoch: u64,
    /// `None` is one that was refused while others before it were still on their way.
    queue: VecDeque<Option<(Ticket, Message)>>,
    /// The number of the first in `queue`.
    oldest: u64,
    /// The number of the next to be sent on this connection.
    cursor: u64,
    /// The number of the first that was not sent on any connection.
    sent: u64,
    tickets: Ticket,
    /// How long to wait for an acknowledgement.
    ack_interval: Duration,
    /// The same, as it has grown since there was one.
    grown: Duration,
    /// The same, with some jitter.
    patience: Duration,
    /// When to send again.
    due: Option<Instant>,
    settled: VecDeque<Settled>,
}

impl Outbox {
    /// How many pushes are on their way at most.
    pub(super) const WINDOW: u64 = 32;

    /// How long an acknowledgement is waited for at most, before pushes are sent again.
    pub(super) const LONGEST_PATIENCE: Duration = Duration::from_secs(60);

    pub(super) fn new(ack_interval: Duration, dice: &mut Dice) -> Self {
        Self {
            epoch: dice.roll(),
            queue: VecDeque::new(),
            oldest: 1,
            cursor: 1,
            sent: 1,
            tickets: 0,
            ack_interval,
            grown: ack_interval,
            patience: ack_interval,
            due: None,
            settled: VecDeque::new(),
        }
    }

    /// Takes responsibility for `message`.
    pub(super) fn push(&mut self, message: Message) -> Ticket {
        self.tickets += 1;
        self.queue.push_back(Some((self.tickets, message)));
        self.check();
        self.tickets
    }

    /// A new connection to the same session: all are sent again.
    pub(super) fn handle_connected(&mut self) {
        self.calm();
        self.rewind();
        self.check();
    }

    /// A new connection to a new session, which knows of no push: all are numbered afresh.
    pub(super) fn handle_new_session(&mut self, dice: &mut Dice) {
        self.calm();
        self.epoch = dice.roll();
        self.queue.retain(Option::is_some);
        self.oldest = 1;
        self.sent = 1;
        self.rewind();
        self.check();
    }

    /// A node has stored this push and all before it.
    pub(super) fn handle_acknowledged(
        &mut self,
        key: &PushKey,
        acknowledgement: Acknowledgement,
        now: Instant,
    ) {
        let Some(number) = self.number(key).filter(|&number| number < self.sent) else { return };
        while self.oldest <= number {
            if let Some((ticket, _)) = self.queue.pop_front().flatten() {
                self.settled.push_back((ticket, Ok(acknowledgement)));
            }
            self.handle_first_settled(now);
        }
        self.drop_refused(now);
        self.check();
    }

    /// A node will never take this push.
    pub(super) fn handle_refused(&mut self, key: &PushKey, reason: String, now: Instant) {
        let Some(number) = self.number(key).filter(|&number| number < self.sent) else { return };
        let Some(push) = self.at(number).and_then(|at| self.queue[at].take()) else { return };
        self.settled.push_back((push.0, Err(PushError::Refused { reason })));
        self.drop_refused(now);
        self.check();
    }

    /// The instant that [`poll_timeout`](Self::poll_timeout) named has come.
    pub(super) fn handle_timeout(&mut self, dice: &mut Dice, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.rewind();
            self.grown = (self.grown * 2).min(Self::LONGEST_PATIENCE).max(self.ack_interval);
            self.patience = (self.grown + dice.shorten(self.grown)) / 2;
        }
        self.check();
    }

    /// The next push to send.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<FromClient> {
        while self.cursor < self.oldest + Self::WINDOW {
            let number = self.cursor;
            let push = self.queue.get(self.at(number)?)?.clone();
            self.cursor += 1;
            self.sent = self.sent.max(self.cursor);
            self.due.get_or_insert(now + self.patience);
            self.check();
            if let Some((_, message)) = push {
                let key = PushKey::Counted { epoch: self.epoch, number };
                return Some(FromClient::Push { key, message });
            }
        }
        None
    }

    /// The next push of which it is known what became of it.
    pub(super) fn poll_settled(&mut self) -> Option<Settled> {
        self.settled.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The number of the push with this key, if it is one of this epoch.
    fn number(&self, key: &PushKey) -> Option<u64> {
        match *key {
            PushKey::Counted { epoch, number } if epoch == self.epoch => Some(number),
            PushKey::Counted { .. } | PushKey::Named(_) => None,
        }
    }

    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.oldest)?).ok()
    }

    /// The first push is settled, and gone from the queue.
    fn handle_first_settled(&mut self, now: Instant) {
        self.oldest += 1;
        self.cursor = self.cursor.max(self.oldest);
        self.calm();
        self.due = (self.oldest < self.cursor).then(|| now + self.patience);
    }

    fn drop_refused(&mut self, now: Instant) {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.handle_first_settled(now);
        }
    }

    /// Things go on: the next acknowledgement is waited for as long as the first.
    fn calm(&mut self) {
        self.grown = self.ack_interval;
        self.patience = self.ack_interval;
    }

    fn rewind(&mut self) {
        self.cursor = self.oldest;
        self.due = None;
    }

    fn check(&self) {
        debug_assert!(self.oldest <= self.cursor);
        debug_assert!(self.cursor <= self.sent);
        debug_assert!(self.sent <= self.oldest + self.queue.len() as u64);
        debug_assert!(!matches!(self.queue.front(), Some(None)));
        debug_assert_eq!(self.due.is_some(), self.oldest < self.cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Level;

    const INTERVAL: Duration = Duration::from_secs(5);

    const STORED: Acknowledgement = Acknowledgement { level: Level::Replicated, nodes: 2 };

    struct World {
        outbox: Outbox,
        dice: Dice,
        now: Instant,
    }

    impl World {
        fn new(pushes: u64) -> Self {
            let mut dice = Dice::new(7);
            let mut outbox = Outbox::new(INTERVAL, &mut dice);
            for push in 1..=pushes {
                assert_eq!(outbox.push(push.to_string().into()), push);
            }
            Self { outbox, dice, now: crate::runtime::clock::now() }
        }

        /// The numbers of what is to be sent, and what it says.
        fn sent(&mut self) -> Vec<(u64, String)> {
            let mut sent = Vec::new();
            while let Some(said) = self.outbox.poll_transmit(self.now) {
                let FromClient::Push { key, message } = said else { panic!("{said:?}") };
                let PushKey::Counted { epoch, number } = key else { panic!("{key:?}") };
                assert_eq!(epoch, self.outbox.epoch);
                sent.push((number, message.as_text().unwrap().to_owned()));
            }
            sent
        }

        fn numbers(&mut self) -> Vec<u64> {
            self.sent().into_iter().map(|(number, _)| number).collect()
        }

        fn key(&self, number: u64) -> PushKey {
            PushKey::Counted { epoch: self.outbox.epoch, number }
        }

        fn acknowledge(&mut self, number: u64) {
            self.outbox.handle_acknowledged(&self.key(number), STORED, self.now);
        }

        fn refuse(&mut self, number: u64) {
            self.outbox.handle_refused(&self.key(number), "no".to_owned(), self.now);
        }

        fn settled(&mut self) -> Vec<(Ticket, bool)> {
            let settled = std::iter::from_fn(|| self.outbox.poll_settled());
            settled.map(|(ticket, result)| (ticket, result.is_ok())).collect()
        }

        /// Lets the time pass until it is due to send again. Returns how long that is.
        fn wait(&mut self) -> Duration {
            let due = self.outbox.poll_timeout().expect("something is on its way");
            let waited = due - self.now;
            self.now = due;
            self.outbox.handle_timeout(&mut self.dice, self.now);
            waited
        }
    }

    #[test]
    fn a_window_is_sent_and_moves_with_what_is_acknowledged() {
        let mut world = World::new(40);
        assert_eq!(world.numbers(), Vec::from_iter(1..=32));
        world.acknowledge(3);
        world.acknowledge(2);
        assert_eq!(world.settled(), [(1, true), (2, true), (3, true)]);
        assert_eq!(world.numbers(), [33, 34, 35]);
        world.acknowledge(36);
        assert_eq!(world.settled(), [], "36 was never sent");
        world.acknowledge(35);
        assert_eq!(world.settled().len(), 32);
        assert_eq!(world.numbers(), Vec::from_iter(36..=40));
        world.acknowledge(40);
        assert_eq!(world.outbox.poll_timeout(), None);
    }

    #[test]
    fn all_are_sent_again_on_a_new_connection() {
        let mut world = World::new(3);
        assert_eq!(world.numbers(), [1, 2, 3]);
        world.acknowledge(1);
        world.outbox.handle_connected();
        world.acknowledge(2);
        assert_eq!(world.sent(), [(3, "3".to_owned())]);
        world.outbox.handle_connected();
        world.acknowledge(3);
        assert_eq!(world.settled(), [(1, true), (2, true), (3, true)]);
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_ever_more_rarely() {
        let mut world = World::new(2);
        assert_eq!(world.numbers(), [1, 2]);
        assert_eq!(world.wait(), INTERVAL);
        for doubled in 1..8 {
            assert_eq!(world.numbers(), [1, 2]);
            let longest = (INTERVAL * (1 << doubled)).min(Outbox::LONGEST_PATIENCE);
            let waited = world.wait();
            assert!((longest * 3 / 4..longest).contains(&waited), "{waited:?} of {longest:?}");
        }
        assert_eq!(world.numbers(), [1, 2]);
        world.acknowledge(1);
        assert_eq!(world.wait(), INTERVAL);
        assert_eq!(world.numbers(), [2]);
    }

    #[test]
    fn what_is_refused_is_not_sent_again() {
        let mut world = World::new(4);
        world.numbers();
        world.refuse(2);
        world.refuse(2);
        world.refuse(9);
        assert_eq!(world.settled(), [(2, false)]);
        world.outbox.handle_connected();
        assert_eq!(world.numbers(), [1, 3, 4]);
        world.acknowledge(1);
        world.outbox.handle_new_session(&mut world.dice);
        assert_eq!(world.sent(), [(1, "3".to_owned()), (2, "4".to_owned())]);
        world.refuse(1);
        world.acknowledge(2);
        assert_eq!(world.settled(), [(1, true), (3, false), (4, true)]);
        assert_eq!(world.outbox.poll_timeout(), None);
    }
}
