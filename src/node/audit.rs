//! What operators did on this node.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tracing::info;

use crate::report::AuditEntry;

/// How many entries are kept. At the limit the oldest goes.
const MAX_ENTRIES: usize = 1_000;

/// How long each text of an entry may be, in bytes. At the limit it is cut, and ends in `...`.
const MAX_TEXT_BYTES: usize = 512;

/// What a text ends in that was cut.
const CUT: &str = "...";

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
    /// Writes an entry, and numbers it. Texts of more than 512 bytes are cut.
    pub(crate) fn write(&self, mut entry: AuditEntry) {
        let AuditEntry { who, what, target, detail, .. } = &mut entry;
        [who, what, target, detail].into_iter().for_each(cut);
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

/// Leaves of a text what is kept of it.
fn cut(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES - CUT.len());
        // In a new piece of memory: one that was made shorter would still take what it took.
        *text = [&text[..end], CUT].concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_text_has_an_end() {
        let log = AuditLog::default();
        let long = "\u{e9}".repeat(1 << 20);
        let [who, what, target, detail] = [(); 4].map(|()| long.clone());
        log.write(AuditEntry { who, what, target, detail, ..AuditEntry::default() });
        let (mut heard, entry) = (log.follow(), log.entries().remove(0));
        for text in [entry.who, entry.what, entry.target, entry.detail] {
            assert_eq!((text.len(), &text[508..]), (511, "..."));
            assert!(text.capacity() <= MAX_TEXT_BYTES);
        }
        let whole = "x".repeat(MAX_TEXT_BYTES);
        log.write(AuditEntry { target: whole.clone(), ..AuditEntry::default() });
        assert_eq!(heard.try_recv().unwrap().target, whole);
    }

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
