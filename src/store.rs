//! What outlives the process: all that a node applied, on its disk.
//!
//! # The files
//!
//! ```text
//!   exosphere.store   what this is, and of which cluster
//!   lock              locked by the process that uses the directory
//!   7.checkpoint      all that was known when journal 7 began
//!   7.journal         what happened then, one record after another
//!   8.checkpoint      all that was known when journal 8 began
//!   8.journal         what happened since
//! ```
//!
//! A checkpoint is written beside the journal that continues it, a slice at a time, and counts once
//! it has its name, which it gets when all of it is on the disk. Then what is older than the
//! checkpoint before it goes: if one cannot be read, the other and both journals still tell
//! everything. So a directory is never larger than two checkpoints, three journals and what of a
//! further checkpoint is written; a journal ends at 64 MiB or twice the checkpoint before it.
//!
//! Each record has a checksum, which begins with that of the file's head, so that nothing is read
//! as a record that was not written as one, in this place, to this file. A journal is read up to
//! the first record that is not whole. What follows is not looked at, and that is said: in the log
//! and in [`Recovered`].
//!
//! # Why a log of our own
//!
//! Nothing is ever looked up, changed or deleted by key: records are appended, and read once, from
//! the start. For this, storage engines cost more than they bring. Measured with 200 bytes a record,
//! each durable on its own and 64 in a batch: a plain log 9,000 and 321,000 records a second;
//! `fjall` 11,700 and 271,000, with 47 crates; `redb` 4,000 and 161,000, with seven times as much
//! written; SQLite 7,600 and 192,000. `okaywal` is as fast as a plain log, but nobody has looked
//! after it for long, and it wants its own threads, checkpoints and format around it. What is left
//! to write is a checksum and a rule where to stop reading.
//!
//! # When the disk fails
//!
//! Whatever fails when something is written or synced, the store is done: after a failed sync
//! nobody can know what is on the disk, and trying again would say that all is well. The node goes
//! on in memory, and says so.

mod cut;
mod directory;
mod disk_store;
#[cfg(any(test, fuzzing))]
pub(crate) mod faulty;
mod files;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod head;
mod open_error;
mod reader;
mod recovery;
mod state;
#[cfg(test)]
mod tests;

use std::io;

use crate::proto::wire::Encoded;

pub use cut::{Cut, Recovered};
pub(crate) use directory::Directory;
pub(crate) use disk_store::DiskStore;
pub(crate) use open_error::OpenError;
pub(crate) use recovery::{Loaded, recover};
pub use state::StoreState;

/// Where a node's operations go, so that they outlive its process.
///
/// After an error nothing more may be asked of it.
pub(crate) trait Store: Send {
    /// Stores records behind those that were stored before. They are on the disk when this returns.
    fn append(&mut self, records: Vec<Encoded>) -> io::Result<()>;

    /// Begins a checkpoint of these parts. What is appended from now on comes after it.
    ///
    /// There is none under way.
    fn begin_checkpoint(&mut self, parts: Vec<Encoded>) -> io::Result<()>;

    /// Goes on with the checkpoint, for some milliseconds. Returns how many bytes it has once all of
    /// it is on the disk.
    fn continue_checkpoint(&mut self) -> io::Result<Option<u64>>;
}
