//! Whether files have changed, as far as that can be seen without reading them.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// How often it is looked whether the files of certificates have changed.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// When some files were changed last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamps(Vec<Option<(SystemTime, u64)>>);

impl Stamps {
    /// The stamps of the files at `paths`, in this order. Of one that is not there, there is none.
    pub(crate) fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let stamp = |path: &Path| -> io::Result<_> {
            let found = fs::metadata(path)?;
            Ok((found.modified()?, found.len()))
        };
        Self(paths.into_iter().map(|path| stamp(path).ok()).collect())
    }
}
