//! Answers in chunks, of which it matters how many messages are in them and where they end.

/// What ends each message, and is nowhere else.
pub(crate) const MESSAGE_END: u8 = b'~';

/// What ends an answer.
const ANSWER_END: &[u8; 5] = b"0\r\n\r\n";

/// Counts what comes, wherever it is cut.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What came last.
    last: [u8; ANSWER_END.len()],
}

impl Answer {
    /// How many messages end in `bytes`.
    pub(crate) fn count(bytes: &[u8]) -> usize {
        bytes.iter().filter(|&&byte| byte == MESSAGE_END).count()
    }

    /// Whether the answer ends with `bytes`.
    pub(crate) fn ends_with(&mut self, bytes: &[u8]) -> bool {
        for &byte in &bytes[bytes.len().saturating_sub(self.last.len())..] {
            self.last.rotate_left(1);
            self.last[ANSWER_END.len() - 1] = byte;
        }
        self.last == *ANSWER_END
    }
}
