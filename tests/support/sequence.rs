//! Numbers as a client receives them.

/// The numbers 0, 1, 2, ... as a client receives them: after a reconnection it may get some of them
/// again, but it never misses one, and never gets them in another order.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    most: u64,
    duplicates: u64,
}

impl Sequence {
    /// Takes the next number.
    pub(crate) fn take(&mut self, number: u64) {
        let Self { next, most, .. } = *self;
        assert!(number <= next, "{number} came where {next} was next: {} are lost", number - next);
        self.duplicates += u64::from(number < most);
        self.next = number + 1;
        self.most = most.max(self.next);
    }

    /// How many different numbers there are.
    pub(crate) fn len(&self) -> u64 {
        self.most
    }

    /// How many came again.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }
}
