//! The thread that stores what happens.
//!
//! It takes all that waits, stores it with one sync, says so, and takes all that waits by then: the
//! more who wait for the disk, the more share a sync. Nobody else ever waits for it.

use std::{
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::sync::watch;
use tracing::{Span, error, warn};

use super::Hub;
use crate::{
    proto::Work,
    store::{Recovered, Store, StoreState},
};

/// The thread that stores what happens, as its node sees it.
#[derive(Debug)]
pub(crate) struct Scribe {
    thread: Thread,
    desk: Arc<Desk>,
    recovered: Recovered,
}

/// What the node and the thread share.
#[derive(Debug)]
struct Desk {
    state: watch::Sender<StoreState>,
    is_closing: AtomicBool,
}

impl Scribe {
    /// Has all stored that happens from now on. `recovered` is what was there before.
    ///
    /// The thread ends when the hub does, or when the store is closed, or fails.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub(crate) fn start(
        hub: &Arc<Hub>,
        store: impl Store + 'static,
        recovered: Recovered,
        span: Span,
    ) -> io::Result<Self> {
        let (state, is_closing) = (watch::Sender::new(StoreState::Working), AtomicBool::new(false));
        let desk = Arc::new(Desk { state, is_closing });
        let (weak, own_desk) = (Arc::downgrade(hub), Arc::clone(&desk));
        let thread = thread::Builder::new()
            .name("exosphere-store".into())
            .spawn(move || span.in_scope(|| run(&weak, &own_desk, store)))?;
        Ok(Self { thread: thread.thread().clone(), desk, recovered })
    }

    /// There may be something to store.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// What was there when the node started.
    pub(crate) fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// How the store is.
    pub(crate) fn state(&self) -> StoreState {
        self.desk.state.borrow().clone()
    }

    /// Stores what waits, and lets go of the directory.
    pub(super) async fn close(&self, patience: Duration) {
        self.desk.is_closing.store(true, Ordering::Release);
        self.wake();
        let mut state = self.desk.state.subscribe();
        let closed = state.wait_for(|state| *state != StoreState::Working);
        if tokio::time::timeout(patience, closed).await.is_err() {
            warn!(?patience, "the store outlasts the node");
        }
    }
}

fn run(hub: &Weak<Hub>, desk: &Desk, mut store: impl Store) {
    let mut is_checkpointing = false;
    let state = loop {
        let Some(hub) = hub.upgrade() else { break StoreState::Closed };
        match turn(&hub, &mut store, &mut is_checkpointing) {
            Ok(true) => {}
            Ok(false) if desk.is_closing.load(Ordering::Acquire) => break StoreState::Closed,
            Ok(false) => {
                drop(hub); // Who sleeps keeps nobody alive.
                thread::park();
            }
            Err(error) => {
                error!(%error, "the store has failed: what happens from now on is in memory only");
                hub.with(|core, now| core.handle_disk_failed(now));
                break StoreState::Failed { reason: error.to_string() };
            }
        }
    };
    drop(store); // The directory is free before anybody hears of it.
    desk.state.send_replace(state);
}

/// Stores all that waits, and some of a checkpoint. Says whether there was anything to do.
fn turn(hub: &Hub, store: &mut impl Store, is_checkpointing: &mut bool) -> io::Result<bool> {
    let work = hub.with(|core, _| core.poll_work());
    let is_busy = work.is_some() || *is_checkpointing;
    if let Some(Work { records, checkpoint, up_to, .. }) = work {
        store.append(records)?;
        hub.with(|core, now| core.handle_stored(up_to, now));
        if let Some(parts) = checkpoint {
            store.begin_checkpoint(parts)?;
            *is_checkpointing = true;
        }
    }
    if *is_checkpointing && let Some(bytes) = store.continue_checkpoint()? {
        *is_checkpointing = false;
        hub.with(|core, now| core.handle_checkpointed(bytes, now));
    }
    Ok(is_busy)
}
