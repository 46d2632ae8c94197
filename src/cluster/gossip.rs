//! Who is alive, by gossip: [`Membership`] by chitchat, which nothing outside this module knows of.
//!
//! chitchat's own transport can be crashed by one forged datagram. So its messages travel inside
//! the connections between members, whose ends are known, and [`precheck`] reads each first.
//!
//! ```text
//! mesh --handle--> precheck --> known --> chitchat --outgoing--> mesh
//!                                            |
//!                                   live members --> roster --> members()
//! ```

mod carrier;
#[cfg(test)]
mod forge;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod known;
mod precheck;
mod reader;
mod roster;
mod traffic;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, ChitchatMessage, Deserializable,
    FailureDetectorConfig, NodeState, spawn_chitchat,
};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::{debug, debug_span, error};

use self::{
    carrier::{Carrier, Farewell, Incoming},
    known::Known,
    precheck::{GENERATION, Member, Precheck},
    roster::Roster,
};
use crate::{
    cluster::membership::{Membership, News},
    id::NodeId,
    proto::{Announcement, licensing::Papers},
    runtime::{Tasks, clock},
};

pub(crate) use precheck::{MAX_MESSAGE_BYTES, Refusal};
use traffic::Counts;
pub(crate) use traffic::GossipTraffic;

/// The gossip of one node. It goes on until the tasks that it was started with end.
pub(crate) struct Gossip {
    own: Member,
    chitchat: Arc<ChitchatHandle>,
    incoming: mpsc::Sender<Incoming>,
    precheck: Precheck,
    known: Arc<Mutex<Known>>,
    farewell: Arc<Farewell>,
    counts: Arc<Counts>,
    members: watch::Receiver<BTreeMap<NodeId, SocketAddr>>,
    news: watch::Receiver<News>,
}

impl Gossip {
    /// Starts to gossip as `node` of `cluster`, which peers reach at `addr`.
    ///
    /// It says `announcement` of itself. Messages leave through `outgoing`, for the address that a member advertises; when that is
    /// full, they are dropped.
    pub(crate) async fn start(
        node: NodeId,
        cluster: &str,
        addr: SocketAddr,
        announcement: &Announcement,
        outgoing: mpsc::Sender<(SocketAddr, Bytes)>,
        tasks: &Tasks,
    ) -> Self {
        let own = (node, addr);
        let (incoming, arriving) = mpsc::channel(MAX_WAITING);
        let farewell = Arc::<Farewell>::default();
        let counts = Arc::<Counts>::default();
        let carrier = Carrier::new(arriving, outgoing, farewell.clone(), counts.clone());
        let chitchat = spawn_chitchat(config(own, cluster), first_entries(announcement), &carrier)
            .await
            .expect("a carrier opens, and there are no seeds to resolve");
        let chitchat = Arc::new(chitchat);
        let (shown, members) = watch::channel(BTreeMap::from([own]));
        let (news_out, news) = watch::channel(News::default());
        let keeper = Keeper::new(own, chitchat.clone(), shown, news_out);
        let known = keeper.known.clone();
        tasks.spawn(debug_span!("gossip", node = %node.short()), keeper.run(tasks.clone()));
        let precheck = Precheck::new(own, cluster.to_owned());
        Self { own, chitchat, incoming, precheck, known, farewell, counts, members, news }
    }

    /// How much gossip there was.
    pub(crate) fn traffic(&self) -> GossipTraffic {
        self.counts.read()
    }
}

impl Gossip {
    async fn say(&self, entries: &[(&str, String)]) {
        let state = |chitchat: &mut chitchat::Chitchat| {
            let own = chitchat.self_node_state();
            for (key, value) in entries {
                own.set(*key, value.as_str());
            }
        };
        self.chitchat.with_chitchat(state).await;
    }
}

impl Membership for Gossip {
    type Refusal = Refusal;

    fn meet(&self, addr: SocketAddr) {
        if addr != self.own.1 {
            // Gossip that has ended meets nobody.
            let _ = self.chitchat.gossip(addr);
        }
    }

    fn handle(&self, from_addr: SocketAddr, from: NodeId, bytes: Bytes) -> Result<(), Refusal> {
        self.counts.handle_received(bytes.len());
        let named = self.precheck.check((from, from_addr), &bytes)?;
        let message =
            ChitchatMessage::deserialize(&mut &bytes[..]).map_err(|_| Refusal::Malformed)?;
        self.known.lock().admit(named)?;
        self.incoming.try_send((from_addr, message)).map_err(|_| Refusal::Busy)
    }

    fn members(&self) -> watch::Receiver<BTreeMap<NodeId, SocketAddr>> {
        self.members.clone()
    }

    fn news(&self) -> watch::Receiver<News> {
        self.news.clone()
    }

    async fn announce(&self, announcement: &Announcement) {
        self.say(&announcement.entries()).await;
    }

    async fn present(&self, papers: &Papers) {
        self.say(&papers.entries()).await;
    }

    async fn leave(&self) {
        let peers: BTreeSet<SocketAddr> = {
            let members = self.members.borrow();
            members.values().copied().filter(|addr| *addr != self.own.1).collect()
        };
        let state = |chitchat: &mut chitchat::Chitchat| {
            chitchat.self_node_state().set(key::LEFT, "1");
            self.farewell.begin(peers.clone())
        };
        let told = self.chitchat.with_chitchat(state).await;
        // Gossip itself would tell only some of them in the time.
        for addr in &peers {
            self.meet(*addr);
        }
        if timeout(GOSSIP_INTERVAL * 2, told).await.is_err() {
            debug!("not every member could be told that this node leaves");
        }
    }
}

/// The task that watches chitchat.
struct Keeper {
    chitchat: Arc<ChitchatHandle>,
    known: Arc<Mutex<Known>>,
    roster: Roster,
    shown: watch::Sender<BTreeMap<NodeId, SocketAddr>>,
    news: watch::Sender<News>,
    refresh_at: Instant,
}

impl Keeper {
    fn new(
        own: Member,
        chitchat: Arc<ChitchatHandle>,
        shown: watch::Sender<BTreeMap<NodeId, SocketAddr>>,
        news: watch::Sender<News>,
    ) -> Self {
        let now = clock::now();
        let roster = Roster::new(own, GOSSIP_INTERVAL * 3, now);
        Self { chitchat, known: Arc::default(), roster, shown, news, refresh_at: now }
    }

    async fn run(mut self, tasks: Tasks) {
        let mut live = self.chitchat.chitchat().lock().await.live_nodes_watcher();
        let mut ended = std::pin::pin!(self.chitchat.termination_watcher());
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = tasks.cancelled() => break,
                ended = &mut ended => {
                    error!(?ended, "gossip has ended, so no death of a member will be noticed");
                    return;
                }
                Ok(()) = live.changed() => {
                    let (alive, news) = read_live(&live.borrow_and_update());
                    self.roster.handle_alive(alive, news.left.clone(), clock::now());
                    self.tell(news);
                }
                _ = ticker.tick() => self.roster.handle_timeout(clock::now()),
            }
            self.show();
            self.refresh(clock::now()).await;
        }
        if self.chitchat.initiate_shutdown().is_ok() {
            let _ = ended.await;
        }
    }

    fn tell(&self, news: News) {
        self.news.send_if_modified(|told| {
            let is_new = *told != news;
            if is_new {
                *told = news;
            }
            is_new
        });
    }

    fn show(&self) {
        self.shown.send_if_modified(|shown| {
            let changed = shown != self.roster.shown();
            if changed {
                shown.clone_from(self.roster.shown());
            }
            changed
        });
    }

    async fn refresh(&mut self, now: Instant) {
        if now < self.refresh_at {
            return;
        }
        self.refresh_at = now + REFRESH_INTERVAL;
        let chitchat = self.chitchat.chitchat();
        let chitchat = chitchat.lock().await;
        let members = chitchat.node_states().keys().filter_map(read_member).collect();
        self.known.lock().refresh(members);
    }
}

/// The members that chitchat holds to be alive, and what they say of themselves.
fn read_live(live: &BTreeMap<ChitchatId, NodeState>) -> (BTreeMap<NodeId, SocketAddr>, News) {
    let (mut alive, mut news) = (BTreeMap::new(), News::default());
    for (id, entries) in live {
        // Only what passed the check is known, so every id can be read.
        let Some((node, addr)) = read_member(id) else { continue };
        alive.insert(node, addr);
        if entries.get(key::LEFT).is_some() {
            news.left.insert(node);
        } else {
            news.told.insert(node, Arc::new(Announcement::read(|key| entries.get(key))));
            let papers = Papers::read(|key| entries.get(key));
            news.papers.extend(papers.map(|papers| (node, papers)));
        }
    }
    (alive, news)
}

fn read_member(id: &ChitchatId) -> Option<Member> {
    Some((id.node_id.parse().ok()?, id.gossip_advertise_addr))
}

fn config((node, addr): Member, cluster: &str) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: ChitchatId::new(node.to_string(), GENERATION, addr),
        cluster_id: cluster.to_owned(),
        gossip_interval: GOSSIP_INTERVAL,
        listen_addr: addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: 8.0,
            sampling_window_size: 100,
            max_interval: LONGEST_INTERVAL,
            // Or the first seconds of a member, in which little is known, would count for more.
            initial_interval: GOSSIP_INTERVAL,
            dead_node_grace_period: Duration::from_secs(10 * 60),
        },
        marked_for_deletion_grace_period: Duration::from_secs(5 * 60),
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

fn first_entries(announcement: &Announcement) -> Vec<(String, String)> {
    let told = announcement.entries().into_iter();
    told.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a member says of itself beside its [`Announcement`].
mod key {
    /// It leaves.
    pub(super) const LEFT: &str = "left";
}

/// How often a node gossips, with three others. A crash is seen by all within two seconds.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(200);

/// Longer intervals between two signs of life of a member are not taken for what is usual: nobody is
/// heard of across a partition, and who is cut off soon after one would be noticed late.
const LONGEST_INTERVAL: Duration = Duration::from_millis(1_500);

/// How often the keeper looks at the clock, to see whether this process was stopped.
const TICK: Duration = Duration::from_millis(50);

/// How often it is asked whom chitchat has forgotten.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// How many messages may wait for chitchat. At the limit, further ones are refused.
const MAX_WAITING: usize = 256;

#[cfg(test)]
mod tests;
