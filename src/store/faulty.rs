//! A directory in memory whose disk can be full, fail, lie, and lose its power.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex, MutexGuard},
};

use super::files::{Append, Files};

/// What goes wrong, once and from then on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Whatever is written or synced fails.
    Broken,
    /// Half of what is written is, and then the disk is full.
    Full,
    /// Syncing fails, and what was to be synced may be there or not.
    SyncFails,
}

/// A directory in memory. A clone is the same directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyFiles(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    contents: Vec<Content>,
    /// The names as processes see them.
    names: BTreeMap<String, usize>,
    /// The names as they are on the disk, and what has changed since they were synced.
    stored_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// After how many more calls what goes wrong.
    fault: Option<(u64, Fault)>,
    /// Whether syncing a file does nothing, and says that all is well.
    is_lying: bool,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Named(String, usize),
    Removed(String),
}

/// A file of it.
#[derive(Debug)]
pub(crate) struct FaultyFile {
    disk: FaultyFiles,
    content: usize,
}

impl FaultyFiles {
    /// Puts a file there, as if it had always been.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = self.lock();
        let synced = bytes.len();
        disk.contents.push(Content { bytes, synced });
        let content = disk.contents.len() - 1;
        disk.names.insert(name.to_owned(), content);
        disk.stored_names.insert(name.to_owned(), content);
    }

    /// The bytes of a file.
    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        let disk = self.lock();
        disk.contents[disk.names[name]].bytes.clone()
    }

    /// The call after this many goes wrong, and all after it.
    #[cfg(test)]
    pub(crate) fn fail_after(&self, calls: u64, fault: Fault) {
        self.lock().fault = Some((calls, fault));
    }

    /// From now on syncing does nothing, and says that all is well.
    #[cfg(test)]
    pub(crate) fn lie(&self) {
        self.lock().is_lying = true;
    }

    /// The power fails, and is back. Of what was not synced, `dice` (of numbers below the one that
    /// they are given) say what is there.
    #[cfg(test)]
    pub(crate) fn crash(&self, mut dice: impl FnMut(usize) -> usize) {
        let mut disk = self.lock();
        let kept = dice(disk.changes.len() + 1);
        let changes: Vec<_> = disk.changes.drain(..).take(kept).collect();
        for change in changes {
            change.apply(&mut disk.stored_names);
        }
        disk.names = disk.stored_names.clone();
        for content in &mut disk.contents {
            let torn = content.synced + dice(content.bytes.len() - content.synced + 1);
            content.bytes.truncate(torn);
            // A sector that was to be written may hold anything.
            if torn > content.synced && dice(2) == 0 {
                let at = content.synced + dice(torn - content.synced);
                content.bytes[at] ^= 1 + dice(255) as u8;
            }
            content.synced = content.bytes.len();
        }
        (disk.fault, disk.is_lying) = (None, false);
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("nobody panics while the disk turns")
    }
}

impl Disk {
    /// What goes wrong with this call, if anything does.
    fn fault(&mut self) -> Option<Fault> {
        match &mut self.fault {
            Some((0, fault)) => Some(*fault),
            Some((calls, _)) => {
                *calls -= 1;
                None
            }
            None => None,
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        if let Some(Fault::Broken | Fault::Full) = self.fault() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change.apply(&mut self.names);
        self.changes.push(change);
        Ok(())
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Named(name, content) => {
                names.retain(|_, named| named != content); // It had another name.
                names.insert(name.clone(), *content);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Files for FaultyFiles {
    type File = FaultyFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        let disk = self.lock();
        let content = disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(disk.contents[*content].bytes.clone())))
    }

    fn create(&self, name: &str) -> io::Result<FaultyFile> {
        let mut disk = self.lock();
        disk.contents.push(Content::default());
        let content = disk.contents.len() - 1;
        disk.change(Change::Named(name.to_owned(), content))?;
        Ok(FaultyFile { disk: self.clone(), content })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.lock();
        let content = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change(Change::Named(to.to_owned(), content))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().change(Change::Removed(name.to_owned()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.lock();
        if let Some(Fault::Broken | Fault::SyncFails) = disk.fault() {
            return Err(io::Error::other("input/output error"));
        }
        disk.changes.clear();
        disk.stored_names = disk.names.clone();
        Ok(())
    }
}

impl Append for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let (written, result) = match disk.fault() {
            Some(Fault::Broken) => (0, Err(io::Error::other("input/output error"))),
            Some(Fault::Full) => (bytes.len() / 2, Err(io::ErrorKind::StorageFull.into())),
            Some(Fault::SyncFails) | None => (bytes.len(), Ok(())),
        };
        disk.contents[self.content].bytes.extend_from_slice(&bytes[..written]);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if let Some(Fault::Broken | Fault::SyncFails) = disk.fault() {
            return Err(io::Error::other("input/output error"));
        }
        if !disk.is_lying {
            let content = &mut disk.contents[self.content];
            content.synced = content.bytes.len();
        }
        Ok(())
    }
}
