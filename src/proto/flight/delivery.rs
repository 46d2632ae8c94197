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
    /// Which connection of the session's it was, as far as 32 bits tell.
    attachment: u32,
    /// The number of the mark: of a message, of the last one before it; and above that, the kind.
    tagged: u32,
}

/// How many bits of a mark are kept.
const MARK_BITS: u32 = 30;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Given,
    Confirmed,
    Withheld,
}

const _: () = assert!(size_of::<Delivery>() <= 48);

impl Delivery {
    fn new(
        (session, message): (SessionId, MessageId),
        (attachment, mark): (u64, u64),
        kind: Kind,
        at_micros: u64,
    ) -> Self {
        let tagged = (mark as u32 & ((1 << MARK_BITS) - 1)) | (kind as u32) << MARK_BITS;
        Self { session, message, at_micros, attachment: attachment as u32, tagged }
    }

    pub(super) fn given(
        session: SessionId,
        message: MessageId,
        mark: (u64, u64),
        at_micros: u64,
    ) -> Self {
        Self::new((session, message), mark, Kind::Given, at_micros)
    }

    pub(super) fn confirmed(session: SessionId, mark: (u64, u64), at_micros: u64) -> Self {
        let nothing = MessageId::new(NodeId::from_bits(0), Seq::FIRST);
        Self::new((session, nothing), mark, Kind::Confirmed, at_micros)
    }

    pub(super) fn withheld(session: SessionId, message: MessageId, at_micros: u64) -> Self {
        Self::new((session, message), (0, 0), Kind::Withheld, at_micros)
    }

    fn mark(&self) -> u32 {
        self.tagged & ((1 << MARK_BITS) - 1)
    }

    fn is(&self, kind: Kind) -> bool {
        self.tagged >> MARK_BITS == kind as u32
    }

    pub(super) fn at_micros(&self) -> u64 {
        self.at_micros
    }

    /// Whether it was not written after all.
    pub(super) fn is_withheld(&self) -> bool {
        self.is(Kind::Withheld)
    }

    /// When a session was last given a message, and when its client confirmed that: looked for from
    /// the last thing on. A client confirms one mark after the other, so the first that it confirms
    /// on the same connection behind a message is the one that counts.
    pub(super) fn find<'a>(
        from_last: impl Iterator<Item = &'a Self>,
        session: SessionId,
        message: MessageId,
    ) -> Option<(&'a Self, Option<u64>)> {
        let mut confirmations = Vec::new();
        for it in from_last.filter(|it| it.session == session) {
            if it.is(Kind::Confirmed) {
                confirmations.push(it);
            } else if it.message == message {
                let confirmed = confirmations.iter().rev().find(|later: &&&Self| {
                    later.attachment == it.attachment && later.mark() > it.mark()
                });
                return Some((it, confirmed.map(|later| later.at_micros)));
            }
        }
        None
    }
}
