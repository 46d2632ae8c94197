//! The tasks of a node, which end when it does.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, warn};

use super::LOOK_EVERY;

/// Every task of a node. Cheap to clone: a clone is the same set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    token: CancellationToken,
    reload: Arc<Notify>,
    tracker: TaskTracker,
}

impl Tasks {
    /// Starts a task, which should end soon after [`cancelled`](Self::cancelled) does.
    pub(crate) fn spawn(&self, span: Span, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task.instrument(span));
    }

    /// Waits until the node is to shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// Whether the node is to shut down, or has.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Asks the tasks that look after files to look at once.
    #[cfg_attr(not(feature = "control"), allow(dead_code, reason = "operators ask"))]
    pub(crate) fn reload(&self) {
        self.reload.notify_waiters();
    }

    /// Waits until files are to be looked at: every few seconds, or when somebody asks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn look_due(&self) {
        tokio::select! {
            () = self.reload.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }

    /// Asks every task to end.
    pub(crate) fn cancel(&self) {
        self.token.cancel();
    }

    /// Asks every task to end, and waits until all have, or for `patience`.
    pub(crate) async fn shutdown(&self, patience: Duration) {
        self.token.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_err() {
            warn!(left = self.tracker.len(), ?patience, "tasks outlast the node");
        }
    }
}
