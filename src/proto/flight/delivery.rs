//! A message that was handed to a connection, or a client's word that it has what it was sent.

use std::time::Instant;

use crate::id::{MessageId, NodeId, Seq, SessionId};

/// When a session was given a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::proto) struct Delivered {
    /// When it was handed to the connection.
    pub(in crate::proto) given: Instant,
    /// When the client confirmed that it has it, if it has.
    pub(in crate::proto) confirmed: Option<Instant>,
    /// Whether it was not written after all.
    pub(in crate::proto) is_withheld: bool,
}

/// Something about what a session was given, in 48 bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::proto) struct Delivery {
    session: SessionId,
    /// The message that was given; of a confirmation, nothing.
    message: MessageId,
    at_micros: u64,
    /// The number of the mark: of a message, of the last one before it.
    mark: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Given,
    Confirmed,
    Withheld,
}

const _: () = assert!(size_of::<Delivery>() <= 48);

impl Delivery {
    pub(super) fn given(session: SessionId, message: MessageId, mark: u64, at_micros: u64) -> Self {
        Self { session, message, at_micros, mark: mark as u32, kind: Kind::Given }
    }

    pub(super) fn confirmed(session: SessionId, mark: u64, at_micros: u64) -> Self {
        let message = MessageId::new(NodeId::from_bits(0), Seq::FIRST);
        Self { session, message, at_micros, mark: mark as u32, kind: Kind::Confirmed }
    }

    pub(super) fn withheld(session: SessionId, message: MessageId, at_micros: u64) -> Self {
        Self { session, message, at_micros, mark: 0, kind: Kind::Withheld }
    }

    pub(super) fn at_micros(&self) -> u64 {
        self.at_micros
    }

    /// Whether it was not written after all.
    pub(super) fn is_withheld(&self) -> bool {
        self.kind == Kind::Withheld
    }

    /// When a session was last given a message, and when its client confirmed that: looked for from
    /// the last thing on. A client confirms one mark after the other, so the first that it confirms
    /// behind a message is the one that counts.
    pub(super) fn find<'a>(
        from_last: impl Iterator<Item = &'a Self>,
        session: SessionId,
        message: MessageId,
    ) -> Option<(&'a Self, Option<u64>)> {
        let mut confirmations = Vec::new();
        for it in from_last.filter(|it| it.session == session) {
            if it.kind == Kind::Confirmed {
                confirmations.push(it);
            } else if it.message == message {
                let confirmed = confirmations.iter().rev().find(|later| later.mark > it.mark);
                return Some((it, confirmed.map(|later| later.at_micros)));
            }
        }
        None
    }
}
