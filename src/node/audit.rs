//! What operators did on this node.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tracing::info;

use crate::report::AuditEntry;

/// How many entries are kept. At the limit the oldest goes.
const MAX_ENTRIES: usize = 1_000;

/// How many entries may wait for one who follows them. At the limit, the oldest are lost to it.
const MAX_WAITING: usize = 256;

/// What operators did on this node, the oldest first. It is logged as well, for those who keep it
/// longer.
#[derive(Debug)]
pub(crate) struct AuditLog {
    kept: Mutex<Kept>,
    news: broadcast::Sender<AuditEntry>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<AuditEntry>,
    written: u64,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), news: broadcast::Sender::new(MAX_WAITING) }
    }
}

impl AuditLog {
    /// Writes an entry, and numbers it.
    pub(crate) fn write(&self, mut entry: AuditEntry) {
        let AuditEntry { who, what, target, done, detail, .. } = &entry;
        info!(who, what, target, done, detail, "audit");
        let mut kept = self.kept.lock();
        entry.number = kept.written;
        kept.written += 1;
        if kept.entries.len() == MAX_ENTRIES {
            kept.entries.pop_front();
        }
        kept.entries.push_back(entry.clone());
        drop(kept);
        let _ = self.news.send(entry); // Nobody may be looking.
    }

    /// The entries that are kept.
    pub(crate) fn entries(&self) -> Vec<AuditEntry> {
        self.kept.lock().entries.iter().cloned().collect()
    }

    /// Those to come.
    pub(crate) fn follow(&self) -> broadcast::Receiver<AuditEntry> {
        self.news.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_numbered() {
        let log = AuditLog::default();
        for _ in 0..=MAX_ENTRIES {
            log.write(AuditEntry::default());
        }
        let numbers: Vec<_> = log.entries().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers.len(), MAX_ENTRIES);
        assert_eq!((numbers[0], numbers[MAX_ENTRIES - 1]), (1, MAX_ENTRIES as u64));
    }
}
