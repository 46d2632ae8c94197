//! The secret that the nodes of a cluster share: who knows it is a member.
//!
//! A node that is told none uses a file that only its user can read, and makes it if it is not
//! there yet. Several nodes may do so at the same instant: each writes a file of its own and links
//! it to the name they all want, which succeeds for one of them, and the others read what that one
//! wrote.

mod passphrase;

use std::{
    env,
    ffi::OsString,
    fmt::{self, Write as _},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ring::digest;
use rustix::{fs::OFlags, process::geteuid};
use thiserror::Error;

use crate::cluster::dice;

/// A secret: 16 to 1,024 bytes, which should be random. Its debug form does not show them.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// The fewest bytes that cannot be guessed.
    const MIN_BYTES: usize = 16;

    /// More than this is some other file.
    const MAX_BYTES: usize = 1024;

    /// How many bytes a new secret has.
    const NEW_BYTES: usize = 32;

    /// The secret with these bytes.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        match bytes.len() {
            0..Self::MIN_BYTES => Err(InvalidSecret::TooShort { bytes: bytes.len() }),
            Self::MIN_BYTES..=Self::MAX_BYTES => Ok(Self(bytes)),
            _ => Err(InvalidSecret::TooLong),
        }
    }

    /// The secret in the file at `path`, which is made, with a new secret, if it is not there.
    ///
    /// The whole file is the secret: a line end is a part of it.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        match Self::load(path) {
            Err(SecretError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    /// Where the nodes of one user look for the secret of `cluster` when they are told none.
    ///
    /// `$XDG_RUNTIME_DIR/exosphere/<cluster>.secret`, or, without that variable,
    /// `$HOME/.local/state/exosphere/<cluster>.secret`.
    pub(crate) fn default_path(cluster: &str) -> Result<PathBuf, SecretError> {
        let dir = state_dir(env::var_os("XDG_RUNTIME_DIR"), env::var_os("HOME"))?;
        Ok(dir.join("exosphere").join(file_name(cluster)))
    }

    /// The bytes of the secret.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the secret, from a file that nobody else can read.
    fn load(path: &Path) -> Result<Self, SecretError> {
        let read = |source| SecretError::Read { path: path.into(), source };
        // Without `NONBLOCK`, opening a pipe would wait for its writer.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags as i32).open(path);
        let file = file.map_err(read)?;
        let facts = file.metadata().map_err(read)?;
        if !facts.is_file() {
            return Err(SecretError::NotAFile { path: path.into() });
        }
        if facts.uid() != geteuid().as_raw() {
            return Err(SecretError::ForeignOwner { path: path.into(), owner: facts.uid() });
        }
        if facts.mode() & 0o077 != 0 {
            return Err(SecretError::Exposed { path: path.into(), mode: facts.mode() & 0o7777 });
        }
        let mut bytes = Vec::new();
        let limit = Self::MAX_BYTES as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(read)?;
        Self::from_bytes(bytes).map_err(|source| SecretError::Invalid { path: path.into(), source })
    }

    /// Makes the file, unless somebody else is faster.
    fn create(path: &Path) -> Result<(), SecretError> {
        let create = |source| SecretError::Create { path: path.into(), source };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(create)?;
        let own = dir.join(format!(".{}.new", hex(&dice::bytes::<16>())));
        let linked = write_new(&own).and_then(|()| fs::hard_link(&own, path));
        let removed = fs::remove_file(&own);
        match linked {
            Ok(()) => removed.map_err(create),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(create(error)),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Writes a new secret to a file that must not exist.
fn write_new(path: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&dice::bytes::<{ Secret::NEW_BYTES }>())?;
    file.sync_all()
}

fn state_dir(runtime: Option<OsString>, home: Option<OsString>) -> Result<PathBuf, SecretError> {
    let absolute = |dir: OsString| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    runtime
        .and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(".local/state")))
        .ok_or(SecretError::NoHome)
}

/// The name of a cluster's file. Distinct clusters have distinct ones, whatever their names hold.
fn file_name(cluster: &str) -> String {
    let safe = encode(cluster);
    match safe.len() {
        0..=MAX_NAME => format!("{safe}.secret"),
        // The mark `~` appears in no encoded name.
        _ => {
            let digest = digest::digest(&digest::SHA256, cluster.as_bytes());
            format!("{}~{}.secret", &safe[..MAX_NAME / 2], hex(digest.as_ref()))
        }
    }
}

/// Writes a name in letters, digits, `-`, `_` and, for all else, `%` and two digits.
pub(super) fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes all that is written"),
        }
    }
    encoded
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Why bytes are no secret. Trying again does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum InvalidSecret {
    #[error("it has more than 1,024 bytes, so this is probably some other file")]
    TooLong,
    #[error("it has {bytes} bytes, which are soon tried; give it at least 12")]
    ShortPassphrase {
        /// How many there are.
        bytes: usize,
    },
    #[error("it has {bytes} bytes, which could be guessed; give it at least 16 random ones")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
}

/// Why there is no secret. The node was not started, and no secret was changed.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    /// Trying again does not help.
    #[error("what is in {} is no secret", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidSecret,
    },
    /// Trying again helps with one of the two variables, or with a secret or its path configured.
    #[error("neither XDG_RUNTIME_DIR nor HOME says where the secret of this user is kept")]
    NoHome,
    /// Trying again does not help.
    #[error("{} is not a regular file, so no secret is read from it", path.display())]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// Trying again helps once the file belongs to the user that runs the node.
    #[error("{} belongs to user {owner}, who may know it; chown or remove it", path.display())]
    ForeignOwner {
        /// The file.
        path: PathBuf,
        /// The number of the user.
        owner: u32,
    },
    /// Trying again helps once only its owner can use the file. Others may know the secret by now.
    #[error("{} is open to others (mode {mode:o}); chmod it to 600, or remove it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Trying again helps once the file can be read.
    #[error("the secret in {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Trying again helps once its directory can be written.
    #[error("no new secret can be stored in {}; is its directory writable?", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The longest encoded name that is a file's name as it is.
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        process::{Command, Stdio},
        sync::{Arc, Barrier},
    };

    use tempfile::TempDir;

    use super::*;

    fn dir() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn write(path: &Path, bytes: &[u8], mode: u32) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_missing_secret_is_made_and_then_found() {
        let dir = dir();
        let path = dir.path().join("state/exosphere/chat.secret");
        let secret = Secret::load_or_create(&path).unwrap();
        assert_eq!(secret.as_bytes().len(), 32);
        assert_eq!(Secret::load_or_create(&path).unwrap(), secret);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no file is left over"
        );
    }

    /// Goal: nodes that start at the same instant agree on a secret.
    ///
    /// Method: many threads wait for each other and then all want the same missing file.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "threads stand for processes here")]
    fn all_who_start_at_once_have_the_same_secret() {
        for _ in 0..20 {
            let dir = dir();
            let barrier = Arc::new(Barrier::new(8));
            let threads = (0..8).map(|_| {
                let (path, barrier) = (dir.path().join("new/chat.secret"), barrier.clone());
                std::thread::spawn(move || {
                    barrier.wait();
                    Secret::load_or_create(&path).unwrap()
                })
            });
            let threads: Vec<_> = threads.collect();
            let mut secrets = threads.into_iter().map(|thread| thread.join().unwrap());
            let first = secrets.next().unwrap();
            assert!(secrets.all(|secret| secret == first));
            assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 1);
        }
    }

    /// Goal: the same for processes, which is what nodes are.
    ///
    /// Method: three processes run this very test, told by a variable to load the secret and end.
    #[test]
    fn three_processes_that_start_at_once_have_the_same_secret() {
        const PATH: &str = "EXOSPHERE_TEST_SECRET";
        if let Some(path) = env::var_os(PATH) {
            let secret = Secret::load_or_create(Path::new(&path)).unwrap();
            println!("secret={}", hex(secret.as_bytes()));
            return;
        }
        let dir = dir();
        let path = dir.path().join("new/chat.secret");
        let child = |_| {
            Command::new(env::current_exe().unwrap())
                .args(["--nocapture", "three_processes_that_start_at_once_have_the_same_secret"])
                .env(PATH, &path)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let children: Vec<_> = (0..3).map(child).collect();
        let stored = format!("secret={}", hex(&children_done(children, &path)));
        assert_eq!(stored.len(), "secret=".len() + 64);
    }

    /// Waits for the children, each of which must have printed what is stored in the end.
    fn children_done(children: Vec<std::process::Child>, path: &Path) -> Vec<u8> {
        let outputs: Vec<_> =
            children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let stored = fs::read(path).unwrap();
        for output in outputs {
            let output = String::from_utf8(output.stdout).unwrap();
            assert!(output.contains(&format!("secret={}", hex(&stored))), "{output}");
        }
        stored
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = dir();
        let path = dir.path().join("chat.secret");
        for open in [0o640, 0o604, 0o620, 0o601, 0o660] {
            write(&path, &[7; 32], open);
            let error = Secret::load_or_create(&path).unwrap_err();
            assert!(matches!(error, SecretError::Exposed { mode, .. } if mode == open));
        }
        for closed in [0o600, 0o400] {
            write(&path, &[7; 32], closed);
            assert_eq!(Secret::load_or_create(&path).unwrap().as_bytes(), [7; 32]);
        }
    }

    #[test]
    fn a_secret_that_is_too_short_or_too_long_is_refused() {
        let dir = dir();
        let path = dir.path().join("chat.secret");
        write(&path, &[7; 15], 0o600);
        let error = Secret::load_or_create(&path).unwrap_err();
        let short = InvalidSecret::TooShort { bytes: 15 };
        assert!(matches!(error, SecretError::Invalid { source, .. } if source == short));
        write(&path, &[7; 1025], 0o600);
        let error = Secret::load_or_create(&path).unwrap_err();
        let long = InvalidSecret::TooLong;
        assert!(matches!(error, SecretError::Invalid { source, .. } if source == long));
        assert!(Secret::from_bytes(vec![7; 16]).is_ok());
        assert!(Secret::from_bytes(vec![7; 1024]).is_ok());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = dir();
        let error = Secret::load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, SecretError::NotAFile { .. }), "{error:?}");
        let error = Secret::load_or_create(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, SecretError::NotAFile { .. }), "{error:?}");
    }

    #[test]
    fn a_directory_that_takes_no_file_is_named() {
        let dir = dir();
        let file = dir.path().join("file");
        write(&file, b"", 0o600);
        for path in [file.join("chat.secret"), "/proc/exosphere/chat.secret".into()] {
            let text = Secret::load_or_create(&path).unwrap_err().to_string();
            assert!(text.contains(&*path.to_string_lossy()), "{text}");
        }
    }

    #[test]
    fn the_default_place_is_the_users_own() {
        let dir = |runtime: Option<&str>, home: Option<&str>| {
            state_dir(runtime.map(OsString::from), home.map(OsString::from)).ok()
        };
        assert_eq!(dir(Some("/run/user/7"), Some("/tmp/u")), Some("/run/user/7".into()));
        assert_eq!(dir(None, Some("/tmp/u")), Some("/tmp/u/.local/state".into()));
        assert_eq!(dir(Some("relative"), Some("/tmp/u")), Some("/tmp/u/.local/state".into()));
        assert_eq!(dir(None, None), None);
        assert_eq!(dir(Some(""), Some("")), None);
    }

    #[test]
    fn a_name_never_leaves_its_directory() {
        assert_eq!(file_name("chat"), "chat.secret");
        assert_eq!(file_name("../../etc/x"), "%2E%2E%2F%2E%2E%2Fetc%2Fx.secret");
        assert_eq!(file_name("caf\u{e9}"), "caf%C3%A9.secret");
        let (long, longer) = (file_name(&"n".repeat(500)), file_name(&"n".repeat(501)));
        assert!(long.len() < 255);
        assert_ne!(long, longer);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from_bytes(vec![7; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
