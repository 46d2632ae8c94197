//! What became of messages.

use serde::{Deserialize, Serialize};

use crate::proto::{Accounting, Tally};

/// What became of the messages that were accepted: each is in exactly one of the other figures.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct AccountingReport {
    /// Messages that were accepted.
    pub accepted: u64,
    /// Those that every session has which was to get them, or which is gone.
    pub acknowledged: u64,
    /// Those that are kept still.
    pub pending: u64,
    /// Those that waited too long.
    pub expired: u64,
    /// Those that went at a limit, by cause.
    pub dropped: DroppedReport,
    /// Those that are in none of the other figures, or in two: 0, but for a mistake in this library.
    pub unaccounted: u64,
}

/// How many messages were dropped, by cause.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct DroppedReport {
    /// A topic had as many messages as it may.
    pub topic_messages: u64,
    /// A topic had as many bytes as it may.
    pub topic_bytes: u64,
    /// All topics of a node together had as many bytes as they may.
    pub node_bytes: u64,
    /// It was dropped as acknowledged before a session that may have been to get it was heard of.
    pub unheard: u64,
    /// It was taken back.
    pub withdrawn: u64,
}

impl DroppedReport {
    /// For whatever cause.
    pub fn total(&self) -> u64 {
        let at_limits = self.topic_messages + self.topic_bytes + self.node_bytes;
        at_limits + self.unheard + self.withdrawn
    }
}

impl AccountingReport {
    /// Of the messages that a node published, which may be added for a cluster.
    pub fn published(accounting: &Accounting) -> Self {
        Self::of(&accounting.published, accounting.unaccounted())
    }

    /// Of all that a node stored.
    pub fn stored(accounting: &Accounting) -> Self {
        Self::of(&accounting.stored, accounting.unaccounted())
    }

    fn of(tally: &Tally, unaccounted: u64) -> Self {
        let dropped = tally.dropped;
        Self {
            accepted: tally.accepted,
            acknowledged: tally.acknowledged,
            pending: tally.pending,
            expired: tally.expired,
            dropped: DroppedReport {
                topic_messages: dropped.topic_messages,
                topic_bytes: dropped.topic_bytes,
                node_bytes: dropped.node_bytes,
                unheard: dropped.unheard,
                withdrawn: dropped.withdrawn,
            },
            unaccounted,
        }
    }

    /// Adds what another node says.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.acknowledged += other.acknowledged;
        self.pending += other.pending;
        self.expired += other.expired;
        self.dropped.topic_messages += other.dropped.topic_messages;
        self.dropped.topic_bytes += other.dropped.topic_bytes;
        self.dropped.node_bytes += other.dropped.node_bytes;
        self.dropped.unheard += other.dropped.unheard;
        self.dropped.withdrawn += other.dropped.withdrawn;
        self.unaccounted += other.unaccounted;
    }
}
