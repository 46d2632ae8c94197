//! What a hub counts, and how long things take.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use super::Hub;
use crate::{
    connection::Connection,
    proto::{Attached, Batch, Core, Ending, NodeEvent, Verdict, WatchKey},
    runtime::{
        clock,
        statistics::{Counters, MAX_SETTLING, SAMPLE_EVERY, SETTLED_EVERY, Statistics},
    },
};

/// What is looked at to learn how long things take.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// How many wake-ups of connections there were.
    wakes: u32,
    /// The messages that are watched until all have them, and since when.
    settling: BTreeMap<WatchKey, Instant>,
    /// When the last of them was published.
    last: Option<Instant>,
}

impl Samples {
    /// A connection is given a batch: now and then it is looked at, how long its first message took. Who
    /// was away when it was published is not looked at.
    pub(super) fn look_at_delivery(
        &mut self,
        core: &Core,
        since: Option<Instant>,
        batch: &Batch,
        counters: &Counters,
    ) {
        self.wakes = self.wakes.wrapping_add(1);
        if self.wakes.is_multiple_of(SAMPLE_EVERY)
            && counters.is_on()
            && let Some(first) = batch.entries.first()
            && let Some(stored) = core.stored_at(first.id())
            && since.is_some_and(|since| since <= stored)
        {
            counters.delivery.record(clock::now().saturating_duration_since(stored));
        }
    }

    /// Watches a message that was published just now, if it is time to look at one.
    fn look_at_published(&mut self, core: &mut Core, now: Instant) {
        let Some(id) = core.take_published() else { return };
        let is_due = self.last.is_none_or(|last| now - last >= SETTLED_EVERY);
        if is_due && self.settling.len() < MAX_SETTLING {
            self.last = Some(now);
            self.settling.insert(core.watch_settled(id), now);
        }
    }

    /// A watch came to something: how long that took, if it is one of these.
    pub(super) fn settle(
        &mut self,
        key: WatchKey,
        verdict: Verdict,
        now: Instant,
    ) -> Option<Duration> {
        let since = self.settling.remove(&key)?;
        let is_settled = verdict == Verdict::Settled(Some(Ending::Acknowledged));
        is_settled.then(|| now.saturating_duration_since(since))
    }
}

impl Hub {
    /// What is counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was counted; `None` as long as nothing is.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        let deliveries = self.state.lock().core.deliveries();
        self.counters.is_on().then(|| Statistics {
            given: deliveries.given,
            withheld: deliveries.withheld,
            confirmed: deliveries.confirmed,
            gaps: deliveries.gaps,
            slow: deliveries.slow,
            ..self.counters.read()
        })
    }

    /// Counts from now on, or no longer.
    pub(crate) fn count_statistics(&self, on: bool) {
        self.counters.switch(on);
        self.state.lock().core.count_deliveries(on);
    }

    /// What happens from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<NodeEvent> {
        let events = self.followers.subscribe();
        self.state.lock().core.set_followed(true);
        events
    }

    /// Tells those who follow what happens, if there are any still.
    pub(super) fn tell(&self, events: Vec<NodeEvent>) {
        for event in events {
            if self.followers.send(event).is_err() {
                self.state.lock().core.set_followed(self.followers.receiver_count() > 0);
                return;
            }
        }
    }

    pub(super) fn count_attached(&self, attached: &Attached, connection: Option<Connection>) {
        self.counters.opened(connection.map(|it| it.transport));
        if !attached.resumed {
            self.counters.begun();
        }
    }
}

/// A bare WebSocket, which is counted as open for as long as there is this.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Hub>);

impl Counted {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        hub.counters.opened(None);
        Self(hub)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters.ended(None);
    }
}

impl super::State {
    /// Looks at what was published just now, if it is time to.
    pub(super) fn sample(&mut self, counters: &Counters, now: Instant) {
        if counters.is_on() {
            self.samples.look_at_published(&mut self.core, now);
        }
    }
}
