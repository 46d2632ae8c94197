//! The end of a node's journal, kept for peers who have yet to store it.
//!
//! Each node keeps one tail for itself and one for each peer: its own to send it, a peer's to pass
//! it on should that peer die before everybody has it.
//!
//! # Invariants
//!
//! 1. The tail holds exactly the operations `start..next`, in order.
//! 2. `bytes` is what they cost, and there are never more than the limits allow.

use std::{collections::VecDeque, num::NonZeroUsize};

use super::wire::Encoded;
use crate::id::Seq;

/// How much of a journal is kept. At the limit the oldest operation goes; who still lacked it is
/// sent a snapshot instead.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "any value is right, and a new limit breaks nobody")]
pub struct TailLimits {
    /// The most operations. Defaults to 65,536.
    pub ops: NonZeroUsize,
    /// The most bytes. Defaults to 32 MiB.
    pub bytes: NonZeroUsize,
    /// How many operations that every live node has stored are kept for those that come back.
    /// Defaults to 4,096.
    pub stable_ops: usize,
}

impl Default for TailLimits {
    fn default() -> Self {
        const OPS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
        const BYTES: NonZeroUsize = NonZeroUsize::new(32 << 20).expect("not zero");
        Self { ops: OPS, bytes: BYTES, stable_ops: 4_096 }
    }
}

/// The end of one journal.
#[derive(Clone, Debug)]
pub struct Tail {
    start: Seq,
    ops: VecDeque<Encoded>,
    bytes: usize,
    limits: TailLimits,
}

impl Tail {
    /// The tail of a journal of which everything before `start` is kept elsewhere, or gone.
    pub fn new(start: Seq, limits: TailLimits) -> Self {
        Self { start, ops: VecDeque::new(), bytes: 0, limits }
    }

    /// Adds the next operation.
    pub fn push(&mut self, op: Encoded) {
        self.bytes += op.cost();
        self.ops.push_back(op);
        while self.ops.len() > self.limits.ops.get() || self.bytes > self.limits.bytes.get() {
            self.pop();
        }
        self.check();
    }

    /// Every live node has everything before `stable`.
    pub fn trim(&mut self, stable: Seq) {
        while self.ops.len() > self.limits.stable_ops && self.start < stable {
            self.pop();
        }
        self.check();
    }

    /// Starts afresh at `next`, when what lies before came as a snapshot.
    pub fn restart(&mut self, next: Seq) {
        *self = Self::new(next, self.limits);
    }

    /// The oldest operation that is kept.
    pub fn start(&self) -> Seq {
        self.start
    }

    /// The operation that will be pushed next.
    pub fn next(&self) -> Seq {
        Seq::new(self.start.get().saturating_add(self.ops.len() as u64))
    }

    /// How many operations are kept.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether no operation is kept.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The operation `seq`, if it is kept.
    pub fn get(&self, seq: Seq) -> Option<&Encoded> {
        self.ops.get(usize::try_from(seq.since(self.start)?).ok()?)
    }

    fn pop(&mut self) {
        if let Some(op) = self.ops.pop_front() {
            self.bytes -= op.cost();
            self.start = self.start.next();
        }
    }

    fn check(&self) {
        debug_assert!(self.ops.len() <= self.limits.ops.get());
        debug_assert!(self.bytes <= self.limits.bytes.get());
        debug_assert!(!self.ops.is_empty() || self.bytes == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, NodeId, SessionId},
        proto::Op,
    };

    fn op(seq: u64) -> Encoded {
        let op = Op::SessionReady { session: SessionId::from_bits(1) };
        Encoded::op(MessageId::new(NodeId::from_bits(1), Seq::new(seq)), &op)
    }

    #[test]
    fn a_tail_keeps_the_newest_within_its_limits() {
        let limits = TailLimits { ops: NonZeroUsize::new(3).unwrap(), ..TailLimits::default() };
        let mut tail = Tail::new(Seq::new(5), limits);
        for seq in 5..10 {
            tail.push(op(seq));
        }
        assert_eq!((tail.start(), tail.next()), (Seq::new(7), Seq::new(10)));
        assert!(tail.get(Seq::new(6)).is_none());
        assert_eq!(tail.get(Seq::new(7)), Some(&op(7)));
        assert!(tail.get(Seq::new(10)).is_none());
    }

    #[test]
    fn a_tail_counts_what_small_operations_cost() {
        let bytes = NonZeroUsize::new(3 * op(0).cost()).unwrap();
        let mut tail = Tail::new(Seq::FIRST, TailLimits { bytes, ..TailLimits::default() });
        (0..10).for_each(|seq| tail.push(op(seq)));
        assert_eq!(tail.len(), 3);
    }

    #[test]
    fn what_all_have_goes_but_for_a_few() {
        let mut tail = Tail::new(Seq::FIRST, TailLimits { stable_ops: 2, ..TailLimits::default() });
        for seq in 0..5 {
            tail.push(op(seq));
        }
        tail.trim(Seq::new(2));
        assert_eq!(tail.start(), Seq::new(2));
        tail.trim(Seq::new(5));
        assert_eq!(tail.start(), Seq::new(3));
    }
}
