//! The sessions of this node whose clients poll.
//!
//! Between two polls a client is there, though it has no connection: its session stays attached, and
//! what is published meanwhile waits for the next poll. Only who stays away is detached.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::poller::Poller;
use crate::{
    id::{SessionId, TopicName},
    runtime::{Tasks, clock},
};

/// How often it is looked for clients that stay away.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The sessions of this node whose clients poll.
#[derive(Debug, Default)]
pub(super) struct Polls {
    by_session: Mutex<HashMap<SessionId, Arc<Poller>>>,
    /// There was none, and is one now.
    begun: Notify,
}

impl Polls {
    /// A session begins to poll here. Of two with the same id, the older one is over.
    pub(super) fn insert(&self, session: SessionId, poller: Arc<Poller>) {
        let replaced = self.by_session.lock().insert(session, poller);
        drop(replaced); // Detached only now, as the lock is free.
        self.begun.notify_one();
    }

    /// The session whose client polls again, if it polled here before, and is not over.
    pub(super) fn find(&self, session: SessionId, path: &TopicName) -> Option<Arc<Poller>> {
        let poller = self.by_session.lock().get(&session).cloned()?;
        (poller.path() == path && !poller.is_over()).then_some(poller)
    }

    /// Lets go of those who stay away, until the node ends.
    pub(super) async fn sweep(&self, tasks: &Tasks) {
        while !tasks.is_cancelled() {
            let is_idle = self.by_session.lock().is_empty();
            let due = async {
                match is_idle {
                    true => self.begun.notified().await,
                    false => tokio::time::sleep(SWEEP_EVERY).await,
                }
            };
            tokio::select! {
                biased;
                () = tasks.cancelled() => {}
                () = due => self.let_go(),
            }
        }
        let left = std::mem::take(&mut *self.by_session.lock());
        drop(left);
    }

    fn let_go(&self) {
        let now = clock::now();
        let mut gone = Vec::new();
        self.by_session.lock().retain(|_, poller| {
            let stays = !poller.is_gone(now);
            if !stays {
                gone.push(Arc::clone(poller));
            }
            stays
        });
    }
}
