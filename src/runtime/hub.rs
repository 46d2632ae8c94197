//! The node's core, shared by its tasks.
//!
//! Everything that happens goes through [`Hub::with`]: lock, act, collect what is due, unlock, wake.
//! Nothing is awaited under the lock, and nobody is woken under it.

mod farewell;
mod figures;
mod key_hasher;
mod turns;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    hash::BuildHasherDefault,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use super::{Filters, Scribe, Tasks, clock, statistics::Counters};
use crate::{
    connection::{ClientRequest, Connection},
    id::{NodeId, SessionId},
    proto::{
        Attached, AttachmentKey, Close, CloseCode, CloseReason, Core, Detachment, Ended, Event,
        Holder, Lane, Limits, NodeEvent, Post, PostKey, Posted, Session, Verdict, WatchKey,
    },
};
pub(crate) use figures::Counted;
use figures::Samples;
use key_hasher::KeyHasher;

/// How many events wait for one who follows what happens. Who is later than that misses some.
const MAX_FOLLOWED: usize = 4_096;

/// How often a client is sent a heartbeat unless that is set, below the 30 s after which proxies lose
/// patience.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(25);

/// What an attachment is to do next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Write what was read. It was `now` when something last happened: asking the clock costs more.
    Write { now: Instant },
    /// Close the connection, and say so to the client.
    End(Close),
}

/// Something to tell a session's handler that no client's connection brought.
#[derive(Debug)]
pub(crate) enum Duty {
    /// The session ended.
    Ended(Session, CloseReason),
    /// A push is open.
    Pushed(Session),
}

/// The node's core, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Hub {
    id: NodeId,
    tasks: Tasks,
    counters: Counters,
    /// Who follows what happens.
    followers: broadcast::Sender<NodeEvent>,
    state: Mutex<State>,
    lanes: [Notify; Lane::ALL.len()],
    timeout: Notify,
    news: Notify,
    /// No client is attached any more, after they were sent away.
    emptied: Notify,
    duties: mpsc::UnboundedSender<Duty>,
    heartbeat_millis: AtomicU64,
    filters: Filters,
    /// Who stores what happens, if anybody does.
    scribe: OnceLock<Scribe>,
}

#[derive(Debug)]
struct State {
    core: Core,
    /// One for each task that serves an attachment, until the task lets go of it.
    slots: HashMap<AttachmentKey, Slot, BuildHasherDefault<KeyHasher>>,
    /// Who waits for what becomes of a message.
    watchers: BTreeMap<WatchKey, oneshot::Sender<Verdict>>,
    /// Who waits for what becomes of a post.
    posters: BTreeMap<PostKey, oneshot::Sender<Posted>>,
    /// What attachments that are still to come are told, once the node shuts down.
    closing: Option<Close>,
    /// When the sweeper will look next.
    sweep_at: Option<Instant>,
    /// What is looked at to learn how long things take.
    samples: Samples,
    /// When something last happened.
    now: Instant,
}

/// What the runtime knows of an attachment.
#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    ended: Option<Close>,
    connection: Option<Connection>,
    request: Option<ClientRequest>,
    /// Since when it is there.
    since: Option<Instant>,
}

/// What is to be done once the lock is released.
#[derive(Default)]
struct Due {
    wakers: Vec<Waker>,
    duties: Vec<Duty>,
    lanes: Vec<Lane>,
    verdicts: Vec<(oneshot::Sender<Verdict>, Verdict)>,
    posted: Vec<(oneshot::Sender<Posted>, Posted)>,
    /// How long it took until all had the messages that were looked at.
    settled: Vec<Duration>,
    /// What those are told who follow what happens.
    events: Vec<NodeEvent>,
    is_sweep_earlier: bool,
    is_store_due: bool,
    has_news: bool,
}

impl Hub {
    /// The hub of node `id`, and the stream of what handlers are to be told, which is at most as long
    /// as there are sessions and open pushes.
    pub(crate) fn new(
        id: NodeId,
        limits: Limits,
        tasks: Tasks,
    ) -> (Self, mpsc::UnboundedReceiver<Duty>) {
        let (duties, told) = mpsc::unbounded_channel();
        let (core, now) = (Core::new(id, limits), clock::now());
        let hub = Self {
            id,
            tasks,
            counters: Counters::default(),
            followers: broadcast::Sender::new(MAX_FOLLOWED),
            state: Mutex::new(State {
                core,
                slots: HashMap::default(),
                watchers: BTreeMap::new(),
                posters: BTreeMap::new(),
                closing: None,
                sweep_at: None,
                samples: Samples::default(),
                now,
            }),
            lanes: Default::default(),
            timeout: Notify::new(),
            news: Notify::new(),
            emptied: Notify::new(),
            duties,
            heartbeat_millis: AtomicU64::new(HEARTBEAT.as_millis() as u64),
            filters: Filters::default(),
            scribe: OnceLock::new(),
        };
        (hub, told)
    }

    /// This node.
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// The tasks of this node.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Lets something happen to the core, and sees to what follows from it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let now = clock::now();
        let mut state = self.state.lock();
        state.core.set_now(now);
        let value = act(&mut state.core, now);
        state.sample(&self.counters, now);
        let due = state.collect(now);
        drop(state);
        self.carry_out(due);
        value
    }

    /// A client is connected to `path` by `request`, and shows that it is `holder`: see
    /// [`Core::attach`].
    pub(crate) fn attach(
        &self,
        asked: Option<SessionId>,
        fresh: SessionId,
        path: &str,
        holder: &Holder,
        connection: Connection,
        request: Option<ClientRequest>,
    ) -> Attached {
        let now = clock::now();
        let mut state = self.state.lock();
        state.core.set_now(now);
        let attached = state.core.attach(asked, fresh, path, holder, now);
        let due = state.collect(now);
        let (ended, connection) = (state.closing.clone(), Some(connection));
        let since = Some(now);
        let slot = Slot { ended, connection, request, since, ..Slot::default() };
        state.slots.insert(attached.key, slot);
        drop(state);
        self.count_attached(&attached, connection);
        self.carry_out(due);
        attached
    }

    /// An attachment's connection is gone: see [`Core::detach`]. If the client was sent to another node,
    /// that is why.
    pub(crate) fn detach(&self, key: AttachmentKey, why: Detachment) {
        let why = if self.let_go(key) { Detachment::NodeLeft } else { why };
        self.counters.detached(why);
        self.with(|core, now| {
            let kept = core.limits().session_kept;
            core.detach(key, why, kept, now);
        });
    }

    /// What is done to messages on their way.
    pub(crate) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// How often clients are sent heartbeats.
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_millis.load(Ordering::Relaxed))
    }

    /// How often clients that come from now on are sent heartbeats.
    pub(crate) fn set_heartbeat(&self, every: Duration) {
        let millis = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        self.heartbeat_millis.store(millis, Ordering::Relaxed);
    }

    /// Ends a session, and tells its client why if it is attached here.
    pub(crate) fn end(&self, session: SessionId, close: Close) {
        let now = clock::now();
        let mut state = self.state.lock();
        let key = state.core.attachment_of(session);
        state.core.close(session, CloseReason::Application, now);
        let due = state.collect(now);
        if let Some(slot) = key.and_then(|key| state.slots.get_mut(&key)) {
            slot.ended = Some(close);
        }
        drop(state);
        self.carry_out(due);
    }

    /// How a session's client is connected here, if it is.
    pub(crate) fn connection_of(&self, session: SessionId) -> Option<Connection> {
        let state = self.state.lock();
        let key = state.core.attachment_of(session)?;
        state.slots.get(&key)?.connection
    }

    /// What a session's client asked with that is connected here.
    pub(crate) fn request_of(&self, session: SessionId) -> Option<ClientRequest> {
        let state = self.state.lock();
        let key = state.core.attachment_of(session)?;
        state.slots.get(&key)?.request.clone()
    }

    /// Why an attachment is over, if it is though its client is not gone.
    pub(crate) fn ended(&self, key: AttachmentKey) -> Option<Close> {
        self.state.lock().slots.get(&key)?.ended.clone()
    }

    /// Waits until an attachment is over though its client is not gone.
    pub(crate) fn poll_ended(&self, key: AttachmentKey, cx: &Context<'_>) -> Poll<Close> {
        let mut state = self.state.lock();
        let slot = state.slots.get_mut(&key);
        let slot = slot.expect("an attachment has a slot until it is detached");
        match &slot.ended {
            Some(close) => Poll::Ready(close.clone()),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits until there may be something to send on `lane`.
    ///
    /// Register before looking: `let due = hub.lane(..); look; due.await`.
    pub(crate) fn lane(&self, lane: Lane) -> impl Future<Output = ()> + '_ {
        let mut due = Box::pin(self.lanes[lane as usize].notified());
        due.as_mut().enable();
        due
    }

    /// Waits until `is_so` holds of the core, looking again whenever there is news of peers or of
    /// the disk: nothing else may be a reason for it to hold.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn until(&self, is_so: impl Fn(&Core) -> bool) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if is_so(&self.state.lock().core) {
                return;
            }
            news.await;
        }
    }

    /// Waits for what a watch comes to, which `watch` makes; `None` if the node has ended by then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch.
    pub(crate) async fn watch(&self, watch: impl FnOnce(&mut Core) -> WatchKey) -> Option<Verdict> {
        let now = clock::now();
        let (sender, verdict) = oneshot::channel();
        // Nothing of the lock may be in the future, or it could not change threads.
        let (key, due) = {
            let mut state = self.state.lock();
            let key = watch(&mut state.core);
            state.watchers.insert(key, sender);
            (key, state.collect(now))
        };
        let _watch = Watch { hub: self, key };
        self.carry_out(due);
        tokio::select! {
            biased;
            verdict = verdict => verdict.ok(),
            () = self.tasks.cancelled() => None,
        }
    }

    /// Hands over what a client has posted, and waits for what becomes of it: see [`Core::post`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing back: it may be done all the same.
    pub(crate) async fn post(&self, post: Post) -> Posted {
        let (sender, posted) = oneshot::channel();
        let now = clock::now();
        let (key, due) = {
            let mut state = self.state.lock();
            let key = state.core.post(post, now);
            state.posters.insert(key, sender);
            (key, state.collect(now))
        };
        let _waiting = Waiting { hub: self, key };
        self.carry_out(due);
        tokio::select! {
            biased;
            posted = posted => posted.unwrap_or(Posted::Later),
            () = self.tasks.cancelled() => Posted::Later,
        }
    }

    /// Does what time asks for, until the node ends.
    pub(crate) async fn sweep(&self) {
        loop {
            let due = {
                let mut state = self.state.lock();
                state.sweep_at = state.core.poll_timeout();
                state.sweep_at
            };
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.tasks.cancelled() => return,
                () = self.timeout.notified() => {}
                () = sleep => self.with(|core, now| core.handle_timeout(now)),
            }
        }
    }

    /// Has all stored that happens from now on. Only once.
    pub(crate) fn set_scribe(&self, scribe: Scribe) {
        if self.scribe.set(scribe).is_ok() {
            self.with(|core, _| core.handle_disk());
        }
    }

    /// Who stores what happens, if anybody does.
    pub(crate) fn scribe(&self) -> Option<&Scribe> {
        self.scribe.get()
    }

    /// Stores what is not stored yet, and lets go of the store.
    pub(crate) async fn close_store(&self, patience: Duration) {
        if let Some(scribe) = self.scribe.get() {
            self.with(|core, now| core.flush_progress(now));
            scribe.close(patience).await;
        }
    }

    fn carry_out(&self, due: Due) {
        due.wakers.into_iter().for_each(Waker::wake);
        for lane in due.lanes {
            self.lanes[lane as usize].notify_waiters();
        }
        for duty in due.duties {
            if let Duty::Ended(_, reason) = duty {
                self.counters.closed(reason);
            }
            let _ = self.duties.send(duty); // Nobody listens once the node has ended.
        }
        if due.is_sweep_earlier {
            self.timeout.notify_one();
        }
        if due.is_store_due
            && let Some(scribe) = self.scribe.get()
        {
            scribe.wake();
        }
        if !due.events.is_empty() {
            self.tell(due.events);
        }
        due.settled.into_iter().for_each(|time| self.counters.settled.record(time));
        for (watcher, verdict) in due.verdicts {
            let _ = watcher.send(verdict); // Nobody listens who waits no more.
        }
        for (poster, posted) in due.posted {
            let _ = poster.send(posted);
        }
        if due.has_news {
            self.news.notify_waiters();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(scribe) = self.scribe.get() {
            scribe.wake(); // To end.
        }
    }
}

impl State {
    fn collect(&mut self, now: Instant) -> Due {
        self.now = now;
        let mut due = Due::default();
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::SessionEnded { session, reason } => {
                    due.duties.push(Duty::Ended(session, reason));
                }
                Event::Pushed { session, .. } => due.duties.push(Duty::Pushed(session)),
                Event::AttachmentEnded { key, why } => {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        slot.ended.get_or_insert_with(|| closing(why));
                        due.wakers.extend(slot.waker.take());
                    }
                }
            }
        }
        let wakes = self.core.poll_wakes();
        due.wakers.reserve(wakes.len());
        for key in wakes {
            due.wakers.extend(self.slots.get_mut(&key).and_then(|slot| slot.waker.take()));
        }
        for (key, verdict) in self.core.poll_verdicts() {
            due.settled.extend(self.samples.settle(key, verdict, now));
            due.verdicts.extend(self.watchers.remove(&key).map(|watcher| (watcher, verdict)));
        }
        for (key, posted) in self.core.poll_posted() {
            due.posted.extend(self.posters.remove(&key).map(|poster| (poster, posted)));
        }
        due.lanes.extend(self.core.poll_lanes());
        due.is_store_due = self.core.has_work();
        due.has_news = self.core.poll_news();
        due.events = self.core.poll_node_events(now);
        let next = self.core.poll_timeout();
        due.is_sweep_earlier =
            next.is_some_and(|next| self.sweep_at.is_none_or(|planned| next < planned));
        if due.is_sweep_earlier {
            self.sweep_at = next;
        }
        due
    }
}

/// A watch, which ends with who waits for it.
struct Watch<'a> {
    hub: &'a Hub,
    key: WatchKey,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        state.core.unwatch(self.key);
        state.watchers.remove(&self.key);
    }
}

/// A post whose client waits for an answer.
struct Waiting<'a> {
    hub: &'a Hub,
    key: PostKey,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        state.core.forget_post(self.key);
        state.posters.remove(&self.key);
    }
}

/// What a client is told when its attachment is over though it did nothing.
fn closing(why: Ended) -> Close {
    match why {
        Ended::Superseded => {
            Close::new(CloseCode::Superseded, "a newer connection of this session has taken over")
        }
        Ended::Slow => {
            Close::new(CloseCode::SlowConsumer, "what was published was not read fast enough")
        }
        Ended::Resumed => Close::new(CloseCode::GoingAway, "connect again"),
        // Its client is there all the same, and may begin anew.
        Ended::Closed(CloseReason::Abandoned(_)) => {
            Close::new(CloseCode::GoingAway, "the session was given up elsewhere")
        }
        Ended::Closed(_) => Close::new(CloseCode::Normal, "the session is over"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{
        id::TopicName,
        proto::{Position, Recipients},
    };

    #[tokio::test]
    async fn who_waits_for_peers_does_not_look_whenever_something_happens_here() {
        let (hub, _ended) = Hub::new(NodeId::from_bits(1), Limits::default(), Tasks::default());
        let (looks, peer) = (Cell::new(0), NodeId::from_bits(2));
        let waits = hub.until(|core| {
            looks.set(looks.get() + 1);
            core.is_linked(peer)
        });
        let happens = async {
            let topic = TopicName::parse("/a").unwrap();
            for _ in 0..100 {
                let to = Recipients::Everyone;
                hub.with(|core, now| core.publish(&topic, to, "m".into(), now)).unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(looks.get(), 1);
            hub.with(|core, now| core.handle_link_up(peer, Position::new(), now));
        };
        tokio::join!(waits, happens);
        assert_eq!(looks.get(), 2);
    }

    #[tokio::test]
    async fn a_watch_ends_with_who_waits_for_it_and_with_the_node() {
        let (hub, _ended) = Hub::new(NodeId::from_bits(1), Limits::default(), Tasks::default());
        hub.with(|core, now| core.handle_live(NodeId::from_bits(2), now));
        let topic = TopicName::parse("/a").unwrap();
        let publish = |core: &mut Core, now| {
            core.publish(&topic, Recipients::Everyone, "m".into(), now).unwrap()
        };
        let id = hub.with(publish);
        let mut waits = Box::pin(hub.watch(|core| core.watch_stored(id, 1)));
        tokio::select! {
            biased;
            verdict = &mut waits => panic!("{verdict:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(hub.state.lock().watchers.len(), 1);
        drop(waits);
        assert!(hub.state.lock().watchers.is_empty());
        let (verdict, ()) = tokio::join!(
            hub.watch(|core| core.watch_stored(id, 1)),
            hub.tasks().shutdown(std::time::Duration::from_secs(1)),
        );
        assert_eq!(verdict, None);
    }
}
