//! A directory of the file system, which one process uses at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    OpenError,
    files::{Append, Files},
    head::VERSION,
};

/// The file that says what the directory is.
const IDENTITY: &str = "exosphere.store";

/// The file that is locked.
const LOCK: &str = "lock";

/// What a file system has at its root.
const LOST_AND_FOUND: &str = "lost+found";

/// What the identity begins with, before the version.
const TITLE: &str = "exosphere store ";

/// More than this is some other file.
const MAX_IDENTITY_BYTES: u64 = 1024;

/// A directory of the file system, which is this process's as long as this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Unlocked when it is closed, which the system does for who is killed.
    _lock: File,
}

impl Directory {
    /// Opens the store of `cluster` at `path`, which is made if nothing is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: what was in the directory is as it was.
    pub(crate) fn open(path: &Path, cluster: &str) -> Result<Self, OpenError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let identity = read_identity(path)?;
        if identity.is_none() && has_other_files(path)? {
            return Err(OpenError::Foreign);
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let directory = Self { path: path.to_owned(), _lock: lock };
        // Who had the lock may have made it since.
        match read_identity(path)? {
            Some(identity) => check_identity(&identity, cluster)?,
            None => directory.write_identity(cluster)?,
        }
        Ok(directory)
    }

    fn write_identity(&self, cluster: &str) -> io::Result<()> {
        const NEW: &str = "exosphere.store.new";
        let mut file = self.create(NEW)?;
        file.append(format!("{TITLE}{VERSION}\n{cluster}\n").as_bytes())?;
        Append::sync(&mut file)?;
        self.rename(NEW, IDENTITY)?;
        Files::sync(self)?;
        // It may have been made just now.
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

impl Files for Directory {
    type File = File;

    fn list(&self) -> io::Result<Vec<String>> {
        names(&self.path)
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Append for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(path)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Whether there is something that a store which was just being made would not have.
fn has_other_files(path: &Path) -> io::Result<bool> {
    let new = format!("{IDENTITY}.new");
    let ours = [LOCK, &new, LOST_AND_FOUND];
    Ok(names(path)?.iter().any(|name| !ours.contains(&name.as_str())))
}

fn read_identity(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path.join(IDENTITY)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_IDENTITY_BYTES).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn check_identity(identity: &str, cluster: &str) -> Result<(), OpenError> {
    let title = identity.split_once('\n').and_then(|(title, rest)| {
        let version = title.strip_prefix(TITLE)?;
        Some((version, rest.strip_suffix('\n')?))
    });
    match title {
        None => Err(OpenError::Foreign),
        Some((version, _)) if *version != VERSION.to_string() => Err(OpenError::Version),
        Some((_, named)) if named != cluster => {
            Err(OpenError::OtherCluster { cluster: named.to_owned() })
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_one_process_s_and_one_cluster_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = Directory::open(&path, "chat").unwrap();
        assert!(matches!(Directory::open(&path, "chat"), Err(OpenError::InUse)));
        drop(first);
        match Directory::open(&path, "other") {
            Err(OpenError::OtherCluster { cluster }) => assert_eq!(cluster, "chat"),
            other => panic!("{other:?}"),
        }
        Directory::open(&path, "chat").unwrap();
    }

    #[test]
    fn what_is_no_store_of_this_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(Directory::open(dir.path(), "chat"), Err(OpenError::Foreign)));
        assert_eq!(names(dir.path()).unwrap(), ["letter.txt"]);

        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(IDENTITY), "exosphere store 2\nchat\n").unwrap();
        assert!(matches!(Directory::open(dir.path(), "chat"), Err(OpenError::Version)));
        fs::write(dir.path().join(IDENTITY), "exosphere stor").unwrap();
        assert!(matches!(Directory::open(dir.path(), "chat"), Err(OpenError::Foreign)));
    }
}
