//! The tasks of a node, which end when it does.

use std::{future::Future, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, warn};

/// Every task of a node. Cheap to clone: a clone is the same set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    token: CancellationToken,
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
