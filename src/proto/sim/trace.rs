//! What happened in a simulation: always as a number, and as text when it is asked for.

use std::{collections::VecDeque, hash::Hasher};

/// The steps of a run.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    steps: u64,
    /// The last steps in words, and how many of them are kept.
    lines: Option<(VecDeque<String>, usize)>,
}

impl Trace {
    /// Keeps the last `lines` steps in words; none for speed.
    pub(super) fn new(lines: Option<usize>) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, lines: lines.map(|n| (VecDeque::new(), n)) }
    }

    /// One more thing happened at `micros`.
    pub(super) fn step(&mut self, micros: u64, event: &impl std::hash::Hash) {
        self.steps += 1;
        self.write_u64(micros);
        event.hash(self);
    }

    /// Says in words what happened.
    pub(super) fn say(&mut self, micros: u64, words: impl FnOnce() -> String) {
        if let Some((lines, most)) = &mut self.lines {
            lines.push_back(format!("{:>10.3} ms  {}", micros as f64 / 1e3, words()));
            if lines.len() > *most {
                lines.pop_front();
            }
        }
    }

    /// Two runs with the same hash did the same.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.map_or_else(Vec::new, |(lines, _)| lines.into())
    }
}

/// FNV-1a, by words: the same on every machine, and quick.
impl Hasher for Trace {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}
