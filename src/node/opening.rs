//! How a node finds what it, or another before it, has stored.

use std::{path::PathBuf, sync::Arc, time::Instant};

use tracing::{Span, info, warn};

use super::StartError;
use crate::{
    proto::Core,
    runtime::{Hub, Scribe},
    store::{Directory, DiskStore, Loaded, OpenError, Recovered, recover},
};

/// A store that was opened, and all in it taken over.
pub(super) struct Opened {
    store: DiskStore<Directory>,
    recovered: Recovered,
    path: PathBuf,
}

impl Opened {
    /// Opens the store at `path`, and lets a new hub know what is in there.
    pub(super) async fn open(
        path: PathBuf,
        cluster: &str,
        hub: &Arc<Hub>,
        span: &Span,
    ) -> Result<Self, StartError> {
        let (hub, cluster, span, dir) =
            (Arc::clone(hub), cluster.to_owned(), span.clone(), path.clone());
        let opening = tokio::task::spawn_blocking(move || {
            let _span = span.enter();
            let directory = Directory::open(&dir, &cluster)?;
            let recovered = hub.with(|core, now| load(&directory, core, now))?;
            let store = DiskStore::new(directory, hub.id())?;
            tell(&recovered);
            Ok(Self { store, recovered, path: dir })
        });
        let opened = opening.await.map_err(std::io::Error::other).map_err(OpenError::Io);
        let opened: Result<Self, OpenError> = opened.and_then(|opened| opened);
        opened.map_err(|source| StartError::Store { path, source: Box::new(source) })
    }

    /// Has all stored that happens from now on.
    pub(super) fn begin(self, hub: &Arc<Hub>, span: &Span) -> Result<(), StartError> {
        let Self { store, recovered, path } = self;
        let scribe = Scribe::start(hub, store, recovered, span.clone());
        let failed = |source| StartError::Store { path, source: Box::new(source) };
        hub.set_scribe(scribe.map_err(failed)?);
        Ok(())
    }
}

fn load(directory: &Directory, core: &mut Core, now: Instant) -> std::io::Result<Recovered> {
    let recovered = recover(directory, |loaded| match loaded {
        Loaded::Checkpoint(parts) => {
            core.load_checkpoint(parts, now);
            true
        }
        Loaded::Record(frame) => core.load(frame, now),
    })?;
    core.finish_loading(now);
    Ok(recovered)
}

fn tell(recovered: &Recovered) {
    let Recovered { records, unfit, cuts } = recovered;
    info!(records, "the store was read");
    for cut in cuts {
        warn!(%cut, "a file of the store was cut at its last good record");
    }
    if *unfit > 0 {
        warn!(unfit, "records of the store follow on some that are lost, and were left out");
    }
}
