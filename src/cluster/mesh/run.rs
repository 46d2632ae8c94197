//! The task that owns the links.

mod licensed;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Incoming};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tracing::{Instrument, Span, debug, info_span};

use self::licensed::Licensed;
use super::{
    MAX_WAITING, Shared,
    dials::Dials,
    peers::{Established, Next, Peers},
    shown::Shown,
};
use crate::{
    cluster::{
        Sighting,
        endpoint::{Admission, is_unacceptable},
        identity::SERVER_NAME,
        lanes,
        link::{self, Greeted},
        membership::{Membership, News},
        node_key::Binding,
        warden::Warden,
        warnings::Offence,
    },
    id::NodeId,
    proto::{Announcement, Departure, Member, Roster},
    runtime::clock,
};

/// How long the node with the higher id leaves it to the other to dial.
const YIELD_TO_LOWER: Duration = Duration::from_millis(300);

/// How long a connection that is not sent on stays open, for what is on its way.
const LINGER: Duration = Duration::from_secs(5);

/// How long a dial may take. What begins a handshake is sent ever more rarely meanwhile, a second apart
/// at the end: to dial anew is faster then.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// How often members without a link are dialed, as far as their back-off allows.
const REDIAL_EVERY: Duration = Duration::from_millis(200);

/// How long a node that is gone for certain is remembered: longer than gossip takes to notice.
const DEPARTED_FOR: Duration = Duration::from_secs(60);

/// The code that the spare one of two connections is closed with.
const DUPLICATE: u32 = 0x11;

/// The code that a connection is closed with when the peer says to be where another one is.
const ELSEWHERE: u32 = 0x24;

/// What happened to a connection.
enum Event {
    /// `left` if the peer said that it leaves.
    Closed {
        peer: NodeId,
        stable_id: usize,
        left: bool,
    },
    Dialed {
        addr: SocketAddr,
        succeeded: bool,
    },
    Greeted(Box<Greeted>),
    HandshakeEnded,
}

/// Runs the mesh until the node ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut sighted: mpsc::Receiver<Sighting>,
    mut gossip_out: mpsc::Receiver<(SocketAddr, Bytes)>,
    shown: Shown,
    warden: Option<Warden>,
) {
    let tasks = shared.hub.tasks().clone();
    let endpoint = shared.endpoint.clone();
    let (mut live, mut news) = (shared.gossip.members(), shared.gossip.news());
    let (events, mut happened) = mpsc::channel(MAX_WAITING);
    let mut mesh = Run::new(shared, events, shown, warden);
    let mut redial = tokio::time::interval(REDIAL_EVERY);
    redial.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = tasks.cancelled() => return,
            Some(event) = happened.recv() => mesh.handle_event(event),
            Ok(()) = news.changed() => {
                let news = news.borrow_and_update().clone();
                mesh.handle_news(news);
            }
            Ok(()) = live.changed() => {
                let members = live.borrow_and_update().clone();
                mesh.handle_members(members);
            }
            Some((to, message)) = gossip_out.recv() => mesh.handle_gossip(to, message),
            Some(incoming) = endpoint.accept() => mesh.handle_incoming(incoming),
            Some(sighting) = sighted.recv() => mesh.handle_sighting(sighting),
            _ = redial.tick() => {
                mesh.handle_tick();
                mesh.handle_licenses().await;
            }
        }
    }
}

struct Run {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    shown: Shown,
    /// What each member says of itself.
    told: BTreeMap<NodeId, Arc<Announcement>>,
    peers: Peers<Connection>,
    dials: Dials,
    /// The members that gossip believes to be alive.
    live: BTreeMap<NodeId, SocketAddr>,
    /// The peers that gossip has believed to be alive at some time: of others, the link tells.
    known: BTreeSet<NodeId>,
    /// The nodes that are gone for certain, and since when.
    departed: BTreeMap<NodeId, (Instant, Departure)>,
    /// The connection that is sent on, for each peer.
    sending: BTreeMap<NodeId, watch::Sender<usize>>,
    handshakes: usize,
    licensed: Option<Licensed>,
}

impl Run {
    fn new(
        shared: Arc<Shared>,
        events: mpsc::Sender<Event>,
        shown: Shown,
        warden: Option<Warden>,
    ) -> Self {
        Self {
            shared,
            events,
            shown,
            told: BTreeMap::new(),
            peers: Peers::default(),
            dials: Dials::default(),
            live: BTreeMap::new(),
            known: BTreeSet::new(),
            departed: BTreeMap::new(),
            sending: BTreeMap::new(),
            handshakes: 0,
            licensed: warden.map(Licensed::new),
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Closed { peer, stable_id, left } => {
                if left {
                    self.depart(peer, Departure::Left);
                }
                let next = self.peers.remove(peer, stable_id);
                self.follow(peer, next);
                self.show();
            }
            Event::Dialed { addr, succeeded } => self.dials.end(addr, succeeded, clock::now()),
            Event::HandshakeEnded => self.handshakes -= 1,
            Event::Greeted(greeted) => self.handle_greeted(*greeted),
        }
    }

    /// A connection is open, and both have said hello.
    fn handle_greeted(&mut self, greeted: Greeted) {
        let (peer, addr) = (greeted.hello.node, greeted.hello.addr);
        let own = self.shared.hub.id();
        let initiator = if greeted.dialed { own } else { peer };
        let connection = greeted.connection.clone();
        if self.turns_away(peer, &connection) {
            return;
        }
        let established = Established {
            connection: connection.clone(),
            stable_id: connection.stable_id(),
            initiator,
            have: greeted.hello.have.clone(),
        };
        if !self.replace_at(addr, peer, &connection) {
            return;
        }
        let next = self.peers.add(peer, addr, established, own);
        let sending = self.sending.entry(peer).or_insert_with(|| watch::channel(0).0);
        let (shared, events, is_sending) =
            (Arc::clone(&self.shared), self.events.clone(), sending.subscribe());
        let span = info_span!(parent: Span::current(), "link", peer = %peer.short());
        let stable_id = connection.stable_id();
        self.shared.hub.tasks().spawn(span, async move {
            let (hub, gossip) = (Arc::clone(&shared.hub), Arc::clone(&shared.gossip));
            let warnings = Arc::clone(&shared.warnings);
            let (questions, protocol) = (Arc::clone(&shared.questions), shared.protocol);
            let running =
                link::run(greeted, hub, gossip, questions, warnings, is_sending, protocol);
            let left = running.await;
            let closed = Event::Closed { peer, stable_id, left };
            let _ = events.send(closed).await; // The mesh may be gone.
        });
        self.follow(peer, next);
        for spare in self.peers.spare(peer).iter().filter(|spare| spare.initiator == own) {
            self.close_later(spare.connection.clone());
        }
        self.shared.gossip.meet(addr);
        self.show();
    }

    /// Tells the core and the link tasks which connection is sent on.
    fn follow(&mut self, peer: NodeId, next: Next) {
        match next {
            Next::Same => {}
            Next::SendOn(stable_id) => {
                let have = self.peers.active(peer).map(|active| active.have.clone());
                let have = have.unwrap_or_default();
                self.shared.hub.with(|core, now| core.handle_link_up(peer, have, now));
                if let Some(sending) = self.sending.get(&peer) {
                    sending.send_replace(stable_id);
                }
                let link = self.peers.active(peer).map(|active| active.connection.clone());
                self.shared.questions.set_link(peer, link);
                debug!(peer = %peer.short(), stable_id, "link up");
            }
            Next::Unlinked => {
                self.sending.remove(&peer);
                self.shared.questions.set_link(peer, None);
                let is_dead = !self.live.contains_key(&peer);
                self.shared.hub.with(|core, now| {
                    core.handle_link_down(peer);
                    if is_dead {
                        core.handle_dead(peer, now);
                    }
                });
                debug!(peer = %peer.short(), "link down");
            }
        }
    }

    /// Members say other things of themselves than before.
    ///
    /// Who has said that it leaves is given up once its link is gone.
    fn handle_news(&mut self, news: News) {
        let now = clock::now();
        for node in news.left {
            self.departed.entry(node).or_insert((now, Departure::Left));
        }
        // Who is not heard of for a moment may still be shown; who is heard of may be shown later.
        let told = std::mem::replace(&mut self.told, news.told);
        for (node, announcement) in told {
            if self.live.contains_key(&node) || self.peers.has(node) {
                self.told.entry(node).or_insert(announcement);
            }
        }
        if let Some(licensed) = &mut self.licensed {
            licensed.handle_news(news.papers);
        }
        self.show();
    }

    /// Gossip believes others to be alive than before.
    fn handle_members(&mut self, mut members: BTreeMap<NodeId, SocketAddr>) {
        let (own, own_addr) = (self.shared.hub.id(), self.shared.addr);
        // Who was here before this node is gone, though the others may not have noticed.
        let former = members.iter().filter(|&(&node, &addr)| node != own && addr == own_addr);
        for node in former.map(|(&node, _)| node).collect::<Vec<_>>() {
            self.depart(node, Departure::Replaced);
        }
        members.retain(|node, _| !self.departed.contains_key(node));
        let before = std::mem::replace(&mut self.live, members);
        // Who still has a link is there, and keeps its sessions, until the link is gone too: gossip
        // can be late, and two nodes that claim the same sessions in turn make that worse.
        let is_gone = |node: &&NodeId| !self.live.contains_key(node) && !self.peers.has(**node);
        let gone: Vec<_> = before.keys().filter(is_gone).copied().collect();
        self.known.extend(self.live.keys());
        self.shared.hub.with(|core, now| {
            for &node in self.live.keys().filter(|&&node| node != own) {
                core.handle_live(node, now);
            }
            for node in gone {
                core.handle_dead(node, now);
            }
        });
        self.show();
        self.handle_tick();
    }

    /// A node is gone for certain, which gossip will find out later.
    fn depart(&mut self, node: NodeId, departure: Departure) {
        self.departed.entry(node).or_insert_with(|| (clock::now(), departure));
        self.live.remove(&node);
        self.shared.hub.with(|core, now| core.handle_dead(node, now));
    }

    /// `node` says that it is at `addr`. Whoever was there before is gone, if `node` is seen to send
    /// from there; else anybody could say so, and is refused if another is there. False if it is.
    fn replace_at(&mut self, addr: SocketAddr, node: NodeId, connection: &Connection) -> bool {
        let from = connection.remote_address();
        let is_seen = from.port() == addr.port() && from.ip().to_canonical() == addr.ip();
        let live = self.live.iter().map(|(&node, &addr)| (node, addr));
        let others = live.chain(self.peers.iter()).filter(|&(other, _)| other != node);
        let before: Vec<_> = others.filter(|&(_, at)| at == addr).map(|(other, _)| other).collect();
        if is_seen {
            before.into_iter().for_each(|other| self.depart(other, Departure::Replaced));
        } else if addr == self.shared.addr || before.into_iter().any(|it| self.peers.has(it)) {
            self.shared.warnings.note(Offence::Greeting, from, "it says to be where another is");
            connection.close(ELSEWHERE.into(), b"another is there");
            return false;
        }
        true
    }

    /// Gossip wants to say something to whoever is at `to`.
    fn handle_gossip(&mut self, to: SocketAddr, message: Bytes) {
        match self.peers.at(to) {
            Some(active) => {
                let send = lanes::send_gossip(active.connection.clone(), message);
                self.shared.hub.tasks().spawn(Span::current(), send);
            }
            // It is said again, once there is a link.
            None => self.handle_sighting(Sighting { node: None, addr: to }),
        }
    }

    fn handle_incoming(&mut self, incoming: Incoming) {
        match Admission::of(&incoming, self.handshakes) {
            Admission::Accept => {}
            Admission::Ignore => return incoming.ignore(),
            Admission::Retry => {
                let _ = incoming.retry(); // It fails only if it was retried already.
                return;
            }
        }
        self.handshakes += 1;
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        let who = incoming.remote_address();
        let accept = async move {
            let patience = tokio::time::timeout(DIAL_PATIENCE, incoming.into_future()).await;
            match patience.unwrap_or(Err(ConnectionError::TimedOut)) {
                Ok(connection) => {
                    greet(&shared, connection, false, &events).await;
                }
                Err(error) => note_unconnected(&shared, who, &error),
            }
            let _ = events.send(Event::HandshakeEnded).await; // The mesh may be gone.
        };
        self.shared.hub.tasks().spawn(Span::current(), accept);
    }

    fn handle_sighting(&mut self, Sighting { node, addr }: Sighting) {
        let own = self.shared.hub.id();
        let is_linked =
            node.is_some_and(|node| self.peers.has(node)) || self.peers.at(addr).is_some();
        let licensed = self.licensed.as_ref();
        let is_refused = licensed.is_some_and(|licensed| licensed.refuses_at(addr));
        if is_linked || is_refused || node == Some(own) || addr == self.shared.addr {
            return;
        }
        if !self.dials.begin(addr, clock::now()) {
            return;
        }
        let wait = match node {
            Some(node) if own > node => YIELD_TO_LOWER,
            _ => Duration::ZERO,
        };
        let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
        let dial = async move {
            tokio::time::sleep(wait).await;
            let is_linked =
                node.is_some_and(|node| shared.hub.with(|core, _| core.is_linked(node)));
            let succeeded = is_linked || dial(&shared, addr, &events).await;
            let _ = events.send(Event::Dialed { addr, succeeded }).await; // The mesh may be gone.
        };
        self.shared.hub.tasks().spawn(Span::current(), dial);
    }

    /// Dials members that there is no link to.
    fn handle_tick(&mut self) {
        let now = clock::now();
        self.dials.sweep(now);
        let licensed = self.licensed.as_ref();
        let is_refused = |node| licensed.is_some_and(|licensed| licensed.refuses(node));
        self.departed.retain(|&node, (since, _)| {
            is_refused(node) || now.saturating_duration_since(*since) < DEPARTED_FOR
        });
        let unlinked: Vec<_> = self
            .live
            .iter()
            .filter(|(node, _)| !self.peers.has(**node))
            .map(|(&node, &addr)| Sighting { node: Some(node), addr })
            .collect();
        for sighting in unlinked {
            self.handle_sighting(sighting);
        }
    }

    /// Shows who is a member: whom gossip believes to be alive, and who has a link and has not been
    /// heard of by gossip yet.
    fn show(&mut self) {
        self.known.retain(|node| self.live.contains_key(node) || self.peers.has(*node));
        let live = self.live.iter().map(|(&node, &addr)| (node, addr));
        let is_new =
            |node: &NodeId| !self.known.contains(node) && !self.departed.contains_key(node);
        let linked = self.peers.iter().filter(|(node, _)| is_new(node));
        let nodes: BTreeMap<_, _> = live.chain(linked).collect();
        let members = nodes.into_iter().map(|(node, addr)| self.describe(node, addr));
        let this = self.describe(self.shared.hub.id(), self.shared.addr);
        let roster = Roster::new(this, members.collect::<Vec<_>>());
        self.shown.show(roster, |member| self.departure(member));
    }

    fn describe(&self, node: NodeId, addr: SocketAddr) -> Member {
        Member::new(node, addr, self.told.get(&node).cloned())
    }

    /// Why a member is gone.
    fn departure(&self, member: &Member) -> Departure {
        match self.departed.get(&member.id) {
            Some(&(_, departure)) => departure,
            None => Departure::Died,
        }
    }

    fn close_later(&self, connection: Connection) {
        let close = async move {
            tokio::time::sleep(LINGER).await;
            connection.close(DUPLICATE.into(), b"duplicate");
        };
        self.shared.hub.tasks().spawn(Span::current(), close);
    }
}

async fn dial(shared: &Arc<Shared>, addr: SocketAddr, events: &mpsc::Sender<Event>) -> bool {
    let config = shared.dialing.lock().clone();
    let connecting = match shared.endpoint.connect_with(config, addr, SERVER_NAME) {
        Ok(connecting) => connecting,
        Err(error) => {
            debug!(%addr, %error, "not dialed");
            return false;
        }
    };
    match tokio::time::timeout(DIAL_PATIENCE, connecting).await {
        Ok(Ok(connection)) => greet(shared, connection, true, events).await,
        Ok(Err(error)) => {
            note_unconnected(shared, addr, &error);
            false
        }
        Err(_) => {
            debug!(%addr, "nobody answers");
            false
        }
    }
}

/// Says hello on a connection. Whether the peer is one to have a link with.
async fn greet(
    shared: &Arc<Shared>,
    connection: Connection,
    dialed: bool,
    events: &mpsc::Sender<Event>,
) -> bool {
    let who = connection.remote_address();
    let own = shared.hello(shared.key.prove(&Binding::of(&connection, dialed)));
    let greeted = link::greet(connection, own, &shared.cluster, dialed);
    match greeted.instrument(Span::current()).await {
        Ok(greeted) => {
            let _ = events.send(Event::Greeted(Box::new(greeted))).await; // The mesh may be gone.
            true
        }
        Err(error) => {
            match error.is_offence() {
                true => shared.warnings.note(Offence::Greeting, who, error),
                false => debug!(%error, "a link was not begun"),
            }
            false
        }
    }
}

/// There is no connection with who is at `addr`.
fn note_unconnected(shared: &Shared, addr: SocketAddr, error: &ConnectionError) {
    match is_unacceptable(error) {
        true => shared.warnings.note(Offence::Handshake, addr, error),
        false => debug!(%addr, %error, "nobody of this cluster answers"),
    }
}
