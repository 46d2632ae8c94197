//! The little of a file system that a store needs, so that tests can have it fail.

use std::io::{self, Read};

/// A directory of files.
pub(crate) trait Files: Send {
    /// A file that is being written.
    type File: Append + Send;

    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file to be read from its start.
    fn read(&self, name: &str) -> io::Result<Box<dyn Read + '_>>;

    /// Makes a file, empty if it was there.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name. Who had that is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once the names are on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait Append {
    /// Appends all of these bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}
