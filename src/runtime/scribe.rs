//! The thread that stores what happens.
//!
//! It takes all that waits, stores it with one sync, says so, and takes all that waits by then: the
//! more who wait for the disk, the more share a sync. Nobody else ever waits for it.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
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
            .spawn(move || span.in_scope(|| write(&weak, &own_desk, store)))?;
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

/// Writes until there is nobody to write for, or no disk to write to.
fn write(hub: &Weak<Hub>, desk: &Desk, mut store: impl Store) {
    let ended = panic::catch_unwind(AssertUnwindSafe(|| write_all(hub, desk, &mut store)));
    let ended = ended.unwrap_or_else(|_| Err(io::Error::other("the store's thread panicked")));
    drop(store); // The directory is free before anybody hears of it.
    let state = match ended {
        Ok(()) => StoreState::Closed,
        Err(error) => {
            error!(%error, "the store has failed: what happens from now on is in memory only");
            if let Some(hub) = hub.upgrade() {
                hub.with(|core, now| core.handle_disk_failed(now));
            }
            StoreState::Failed { reason: error.to_string() }
        }
    };
    desk.state.send_replace(state);
}

fn write_all(hub: &Weak<Hub>, desk: &Desk, store: &mut impl Store) -> io::Result<()> {
    let mut is_checkpointing = false;
    loop {
        let Some(hub) = hub.upgrade() else { return Ok(()) };
        let is_busy = turn(&hub, store, &mut is_checkpointing)?;
        if !is_busy && desk.is_closing.load(Ordering::Acquire) {
            return Ok(());
        }
        drop(hub); // Who sleeps keeps nobody alive.
        if !is_busy {
            thread::park();
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, NodeId, TopicName},
        proto::{Limits, Recipients, Verdict},
        runtime::Tasks,
        store::{
            DiskStore,
            faulty::{Fault, FaultyFiles},
        },
    };

    fn hub(files: &FaultyFiles) -> Arc<Hub> {
        let (hub, _) = Hub::new(NodeId::from_bits(1), Limits::default(), Tasks::default());
        let hub = Arc::new(hub);
        let store = DiskStore::new(files.clone(), hub.id()).unwrap();
        let scribe = Scribe::start(&hub, store, Recovered::default(), Span::none());
        hub.set_scribe(scribe.unwrap());
        hub
    }

    fn publish(hub: &Hub) -> MessageId {
        let topic = TopicName::parse("/a").unwrap();
        hub.with(|core, now| core.publish(&topic, Recipients::Everyone, "m".into(), now)).unwrap()
    }

    async fn is_durable(hub: &Hub, id: MessageId) -> bool {
        matches!(hub.watch(|core| core.watch_durable(id)).await, Some(Verdict::OnDisk))
    }

    #[tokio::test]
    async fn a_disk_that_fails_ends_the_store_and_not_the_node() {
        for fault in [Fault::Broken, Fault::Full, Fault::SyncFails] {
            let files = FaultyFiles::default();
            let hub = hub(&files);
            let first = publish(&hub);
            assert!(is_durable(&hub, first).await);
            files.fail_after(0, fault);
            let second = publish(&hub);
            assert!(!is_durable(&hub, second).await, "{fault:?}");
            assert!(!is_durable(&hub, first).await, "never said again, after {fault:?}");
            let mut state = hub.scribe().unwrap().desk.state.subscribe();
            let failed = state.wait_for(|state| *state != StoreState::Working).await.unwrap();
            assert!(matches!(*failed, StoreState::Failed { .. }), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn who_writes_ends_with_the_node() {
        let hub = hub(&FaultyFiles::default());
        let id = publish(&hub);
        assert!(is_durable(&hub, id).await);
        let mut state = hub.scribe().unwrap().desk.state.subscribe();
        drop(hub);
        state.wait_for(|state| *state == StoreState::Closed).await.unwrap();
    }
}
