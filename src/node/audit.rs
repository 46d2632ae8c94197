//! What operators did on this node.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tracing::info;

use crate::report::AuditEntry;

/// How many entries are kept of what was done. At the limit the oldest goes.
const MAX_DONE: usize = 1_000;

/// How many entries are kept of what was not, apart: whoever may do nothing is refused as often as he
/// likes.
const MAX_REFUSED: usize = 250;

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
    done: VecDeque<AuditEntry>,
    refused: VecDeque<AuditEntry>,
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
        let (entries, most) = match entry.done {
            true => (&mut kept.done, MAX_DONE),
            false => (&mut kept.refused, MAX_REFUSED),
        };
        if entries.len() == most {
            entries.pop_front();
        }
        entries.push_back(entry.clone());
        drop(kept);
        let _ = self.news.send(entry); // Nobody may be looking.
    }

    /// The entries that are kept, by number.
    pub(crate) fn entries(&self) -> Vec<AuditEntry> {
        let kept = self.kept.lock();
        let mut entries: Vec<_> = kept.done.iter().chain(&kept.refused).cloned().collect();
        entries.sort_unstable_by_key(|entry| entry.number);
        entries
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
    fn the_newest_are_kept_and_numbered_however_many_are_refused() {
        let log = AuditLog::default();
        let write = |done| log.write(AuditEntry { done, ..AuditEntry::default() });
        (0..=MAX_DONE).for_each(|_| write(true));
        (0..=MAX_REFUSED).for_each(|_| write(false));
        let numbers: Vec<_> = log.entries().iter().map(|entry| entry.number).collect();
        let (done, refused) = (MAX_DONE as u64, MAX_REFUSED as u64);
        let expected = (1..=done).chain(done + 2..=done + 1 + refused);
        assert_eq!(numbers, expected.collect::<Vec<_>>());
    }
}
