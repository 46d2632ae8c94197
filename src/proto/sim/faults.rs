//! What goes wrong in one simulation. Each has its own few of all the faults, at its own rates, so
//! that rare faults are not always drowned by frequent ones.

use std::{num::NonZeroUsize, time::Duration};

use super::{blows::Blow, dice::Dice};
use crate::proto::{Durability, Limits, LogLimits, TailLimits};

/// The faults of one simulation. Zero is never.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    /// Of a thousand frames, how many are lost although the link stays.
    pub(super) drop: u64,
    /// How many come twice.
    pub(super) duplicate: u64,
    /// How many are overtaken by later ones of their lane.
    pub(super) reorder: u64,
    /// How many take much longer than others.
    pub(super) delay: u64,
    /// Whether frames of a link that is gone may arrive on the next one.
    pub(super) stale: bool,
    /// How long a side of a link waits for more to write, in milliseconds.
    pub(super) coalesce: u64,
    /// What happens to nodes and links, in the order of `Blow::ALL`, and how often.
    pub(super) blows: [u64; 9],
    /// Milliseconds between two blows, at the most.
    pub(super) every: u64,
    /// The longest that a cut lasts, in milliseconds.
    pub(super) longest_cut: u64,
    /// Of a thousand lost connections, how many the server notices late only.
    pub(super) half_open: u64,
    /// Of a thousand connections, how many have a client that does not confirm what it gets.
    pub(super) deaf: u64,
    /// How long a client takes to confirm, in milliseconds, at the most.
    pub(super) late: u64,
    /// What clients do, in the order of `Deed::ALL`, and how often.
    pub(super) deeds: [u64; 13],
    /// Of a thousand steps of a handler, how many take long.
    pub(super) slow_handler: u64,
    /// How much room there is.
    pub(super) limits: Limits,
}

impl Faults {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let per_frame = |dice: &mut Dice, most| match dice.chance(250) {
            true => dice.between(1, most),
            false => 0,
        };
        let often = |dice: &mut Dice, likely, most| match dice.chance(likely) {
            true => dice.between(1, most),
            false => 0,
        };
        Self {
            drop: per_frame(dice, 100),
            duplicate: per_frame(dice, 150),
            reorder: per_frame(dice, 200),
            delay: per_frame(dice, 100),
            stale: dice.chance(200),
            coalesce: dice.between(0, 40),
            blows: Blow::ALL.map(|_| often(dice, 400, 10)),
            every: dice.between(500, 4_000),
            longest_cut: dice.pick(&[1_000, 4_000, 8_000, 26_000]).unwrap_or(4_000),
            half_open: often(dice, 400, 600),
            deaf: often(dice, 300, 300),
            late: dice.pick(&[0, 30, 300, 3_000]).unwrap_or(0),
            deeds: [
                40,                   // Publish
                often(dice, 600, 10), // PublishToSome
                often(dice, 600, 10), // Send
                often(dice, 500, 8),  // Join
                often(dice, 500, 6),  // Leave
                often(dice, 700, 8),  // Disconnect
                often(dice, 400, 6),  // Reattach
                often(dice, 300, 2),  // Close
                often(dice, 300, 2),  // GoAway
                often(dice, 300, 3),  // Burst
                often(dice, 700, 40), // Push
                often(dice, 250, 3),  // Share
                often(dice, 300, 6),  // Withdraw
            ],
            slow_handler: often(dice, 500, 300),
            limits: limits(dice),
        }
    }
}

/// Limits that are soon reached.
fn limits(dice: &mut Dice) -> Limits {
    let count = |number: u64| NonZeroUsize::new(number as usize).unwrap_or(NonZeroUsize::MIN);
    Limits {
        log: LogLimits {
            messages: count(dice.pick(&[10, 20, 50, 1_000]).unwrap_or(50)),
            bytes: count(dice.pick(&[6_000, 20_000, 1_000_000]).unwrap_or(20_000)),
            unread_for: dice.millis(6_000..12_000),
            floor: dice.millis(1_000..3_000),
        },
        logs_bytes: dice.pick(&[10_000, 40_000, 10_000_000]).unwrap_or(40_000) as usize,
        tail: TailLimits {
            ops: count(dice.pick(&[8, 16, 64, 1_000]).unwrap_or(64)),
            bytes: count(dice.pick(&[4_000, 1_000_000]).unwrap_or(4_000)),
            stable_ops: dice.between(0, 8) as usize,
        },
        session_kept: dice.millis(2_000..5_000),
        dead_kept: Duration::from_secs(20),
        durability: match dice.below(4) {
            0 => Durability::Local,
            1 => Durability::Replicated(2),
            _ => Durability::Replicated(1),
        },
        ..Limits::default()
    }
}
