//! What of this node's journal is on its disk.

use std::time::Instant;

use super::Core;
use crate::id::Seq;

impl Core {
    /// Operations are stored on a disk from now on. None is yet.
    pub fn handle_disk(&mut self) {
        self.durable = Some(Seq::FIRST);
    }

    /// Everything of this node's journal before `up_to` is on its disk.
    ///
    /// May be repeated and out of order. Changes nothing once the disk has failed.
    pub fn handle_durable(&mut self, up_to: Seq, now: Instant) {
        if let Some(durable) = &mut self.durable {
            *durable = up_to.max(*durable);
        }
        self.acknowledge_pushes(now);
    }

    /// The disk has failed: nothing more gets there, and nothing is said to be there any more.
    pub fn handle_disk_failed(&mut self, now: Instant) {
        self.durable = None;
        self.acknowledge_pushes(now);
    }

    /// Everything of this node's journal before this is on its disk; `None` if there is no disk, or
    /// it has failed: then nobody may wait for it.
    pub fn durable(&self) -> Option<Seq> {
        self.durable
    }
}
