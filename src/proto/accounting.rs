//! What became of the messages that a node stored, counted: nothing goes without a count.

use std::{iter::Sum, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// What became of the messages that a node stored, of one topic or of all.
///
/// Figures of nodes, taken at about the same time, can be added. Of their sum,
/// [`published`](Self::published) counts each message once, on the node that published it, and so
/// speaks of the cluster; [`stored`](Self::stored) counts each once for each node that stored it.
/// What a node counted is gone with it: counters begin at zero when a node starts.
///
/// # Examples
///
/// What a cluster of two has lost, if anything:
///
/// ```
/// use exosphere::Accounting;
///
/// let (a, b) = (Accounting::default(), Accounting::default());
/// let cluster: Accounting = [a, b].into_iter().sum();
/// assert_eq!(cluster.published.expired + cluster.published.dropped.total(), 0);
/// assert_eq!(cluster.unaccounted(), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Accounting {
    /// Of all messages that the node stored, whichever node published them.
    pub stored: Tally,
    /// Of those among them that the node itself published.
    pub published: Tally,
}

impl Accounting {
    /// How many messages ended in none of the ways that are counted, or in two: always zero, but for
    /// a mistake in this library. What came and what ended is counted where it happens; what is pending is
    /// counted anew ten times a second, in the logs themselves.
    pub fn unaccounted(&self) -> u64 {
        self.stored.unaccounted().max(self.published.unaccounted())
    }

    /// Counts a message that was stored, whether the node published it or not.
    pub(super) fn count(&mut self, is_own: bool, count: impl Fn(&mut Tally)) {
        count(&mut self.stored);
        if is_own {
            count(&mut self.published);
        }
    }
}

impl AddAssign for Accounting {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.published += other.published;
    }
}

impl Sum for Accounting {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |mut sum, next| {
            sum += next;
            sum
        })
    }
}

/// What became of messages: each that was accepted is in exactly one of the other figures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages that were stored.
    pub accepted: u64,
    /// Those that every session has which was to get them, or which is gone by now: see
    /// [`Ending::Acknowledged`].
    pub acknowledged: u64,
    /// Those that are kept still: some session has yet to get them, or they are not old enough to
    /// go.
    pub pending: u64,
    /// Those that waited too long for a session to fetch them: see [`Ending::Expired`].
    pub expired: u64,
    /// Those that went at a limit, or were taken back, by cause.
    pub dropped: Dropped,
}

impl Tally {
    /// How many messages ended in none of the other ways, or in two.
    pub fn unaccounted(&self) -> u64 {
        let ended = self.acknowledged + self.expired + self.dropped.total();
        self.accepted.abs_diff(self.pending + ended)
    }

    /// Counts a message that ended.
    pub(super) fn end(&mut self, how: Ending) {
        *self.ended_mut(how) += 1;
    }

    /// Counts so many anew that were counted as acknowledged, as far as they were counted here.
    pub(super) fn revoke(&mut self, messages: u64) {
        let here = messages.min(self.acknowledged);
        self.acknowledged -= here;
        self.dropped.unheard += here;
    }

    fn ended_mut(&mut self, how: Ending) -> &mut u64 {
        match how {
            Ending::Acknowledged => &mut self.acknowledged,
            Ending::Expired => &mut self.expired,
            Ending::Dropped(DropCause::TopicMessages) => &mut self.dropped.topic_messages,
            Ending::Dropped(DropCause::TopicBytes) => &mut self.dropped.topic_bytes,
            Ending::Dropped(DropCause::NodeBytes) => &mut self.dropped.node_bytes,
            Ending::Dropped(DropCause::Unheard) => &mut self.dropped.unheard,
            Ending::Dropped(DropCause::Withdrawn) => &mut self.dropped.withdrawn,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.acknowledged += other.acknowledged;
        self.pending += other.pending;
        self.expired += other.expired;
        self.dropped += other.dropped;
    }
}

/// How many messages were dropped for each [cause](DropCause).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Dropped {
    /// [`DropCause::TopicMessages`].
    pub topic_messages: u64,
    /// [`DropCause::TopicBytes`].
    pub topic_bytes: u64,
    /// [`DropCause::NodeBytes`].
    pub node_bytes: u64,
    /// [`DropCause::Unheard`].
    pub unheard: u64,
    /// [`DropCause::Withdrawn`].
    pub withdrawn: u64,
}

impl Dropped {
    /// How many messages were dropped, for whatever cause.
    pub fn total(&self) -> u64 {
        let at_limits = self.topic_messages + self.topic_bytes + self.node_bytes;
        at_limits + self.unheard + self.withdrawn
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.topic_messages += other.topic_messages;
        self.topic_bytes += other.topic_bytes;
        self.node_bytes += other.node_bytes;
        self.unheard += other.unheard;
        self.withdrawn += other.withdrawn;
    }
}

/// How a message came to be kept no longer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Ending {
    /// Every session that was to get it, as far as this node had heard, has it or is gone. So it is
    /// with a message to a topic that nobody is in.
    Acknowledged,
    /// It waited for too long: five minutes. The sessions that lack it are told of a gap.
    Expired,
    /// It went at a limit: the sessions that lack it, if any do, are told of a gap. Or it was taken
    /// back.
    Dropped(DropCause),
}

/// Why a message was dropped though it was neither acknowledged nor had waited for too long.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DropCause {
    /// Its topic had as many messages as it may: 10,000.
    TopicMessages,
    /// Its topic had as many bytes as it may: 16 MiB.
    TopicBytes,
    /// All topics of the node together had as many bytes as they may, and its topic had the most.
    NodeBytes,
    /// It was dropped as acknowledged before this node heard of a session that may have been to get
    /// it too: one that joined on a node which this one was cut off from.
    Unheard,
    /// It was taken back before all had it: see [`Topic::withdraw`](crate::Topic::withdraw). Who had not
    /// got it is told of no gap.
    Withdrawn,
}
