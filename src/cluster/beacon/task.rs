//! The task that sends a node's beacons and hears those of others.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;
use tracing::{debug, debug_span, trace, warn};

use super::{Beacon, BeaconError, Kind, answers::Answers, schedule::Schedule, sockets::Sockets};
use crate::{
    cluster::{dice, interfaces::Interfaces, keys::Keys, scout::Scout, warnings::Offence},
    id::NodeId,
    proto::wire::ProtocolRange,
    runtime::clock,
};

/// Starts to send and to hear beacons, for `node` at `addr`, until the node ends.
///
/// The first of `keys` seals. Queries of nodes that are members are not answered. Without multicast
/// there are no beacons, which is logged once.
pub(crate) fn start(
    node: NodeId,
    addr: SocketAddr,
    keys: Vec<Keys>,
    interfaces: Interfaces,
    scout: Scout,
) {
    if keys.is_empty() {
        debug!("no beacons, since there is no secret to seal them with");
        return;
    }
    match Sockets::open(interfaces, scout.network.as_deref()) {
        Ok(sockets) => {
            if !sockets.reach_somebody() {
                warn!(every = ?LOOK_AROUND_EVERY, "no interface for beacons; it is looked again");
            }
            let tasks = scout.tasks.clone();
            let beacons = Beacons::new(node, addr, keys, scout, sockets);
            tasks.spawn(debug_span!("beacons"), beacons.run());
        }
        Err(error) => warn!(%error, "no beacons, so nodes need seeds"),
    }
}

/// The beacons of one node.
struct Beacons {
    node: NodeId,
    addr: SocketAddr,
    keys: Vec<Keys>,
    scout: Scout,
    sockets: Sockets,
    look_around_at: Instant,
    schedule: Schedule,
    answers: Answers,
}

impl Beacons {
    fn new(
        node: NodeId,
        addr: SocketAddr,
        keys: Vec<Keys>,
        scout: Scout,
        sockets: Sockets,
    ) -> Self {
        let (now, answers) = (clock::now(), Answers::default());
        let (schedule, look_around_at) = (Schedule::new(now), now + LOOK_AROUND_EVERY);
        Self { node, addr, keys, scout, sockets, look_around_at, schedule, answers }
    }

    async fn run(mut self) {
        let tasks = self.scout.tasks.clone();
        let (mut group_buffer, mut own_buffer) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
        loop {
            self.send_what_is_due(clock::now());
            let due = self.poll_timeout().into();
            tokio::select! {
                biased;
                () = tasks.cancelled() => break,
                received = self.sockets.receive(&mut group_buffer, &mut own_buffer) => {
                    match received {
                        Ok((datagram, from)) => {
                            self.handle_datagram(datagram, from, clock::now());
                        }
                        Err(error) => self.handle_error(&error).await,
                    }
                }
                () = sleep_until(due) => {}
            }
        }
        self.say(Kind::Bye);
    }

    fn handle_datagram(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let beacon = match self.open(datagram) {
            Ok(beacon) => beacon,
            // A neighbor's, or a later version's.
            Err(
                reason @ (BeaconError::OtherCluster
                | BeaconError::UnknownVersion(_)
                | BeaconError::UnknownKind(_)),
            ) => {
                trace!(%from, %reason, "not a beacon for us");
                return;
            }
            Err(reason) => {
                self.scout.warnings.note(Offence::Beacon, from, reason);
                return;
            }
        };
        if beacon.node == self.node {
            return;
        }
        trace!(node = %beacon.node, addr = %beacon.addr, kind = ?beacon.kind, "beacon");
        if beacon.kind == Kind::Query && !self.scout.members.borrow().contains_key(&beacon.node) {
            let pause = dice::below(Answers::LONGEST_PAUSE);
            self.answers.handle_query(beacon.node, from, pause, now);
        }
        if beacon.kind != Kind::Bye {
            self.scout.tell(Some(beacon.node), beacon.addr);
        }
    }

    /// Opens what any of the keys has sealed.
    fn open(&self, datagram: &[u8]) -> Result<Beacon, BeaconError> {
        let opened = self.keys.iter().map(|keys| Beacon::open(keys, datagram));
        let mut ours = opened.filter(|opened| *opened != Err(BeaconError::OtherCluster));
        ours.next().unwrap_or(Err(BeaconError::OtherCluster))
    }

    /// Waits a little: an error that stays would make the loop spin.
    async fn handle_error(&self, error: &io::Error) {
        debug!(%error, "beacons cannot be heard just now");
        let _ = tokio::time::timeout(AFTER_ERROR, self.scout.tasks.cancelled()).await;
    }

    fn send_what_is_due(&mut self, now: Instant) {
        if self.look_around_at <= now {
            self.look_around_at = now + LOOK_AROUND_EVERY;
            if let Err(error) = self.sockets.look_around() {
                debug!(%error, "interfaces cannot be listed just now");
            }
        }
        while let Some(to) = self.answers.poll_transmit(now) {
            let answer = self.beacon(Kind::Announce).seal(&self.keys[0]);
            if let Err(error) = self.sockets.say_to(&answer, to) {
                debug!(%error, %to, "answer lost");
            }
        }
        if self.schedule.poll_timeout() <= now {
            self.say(if self.is_looking() { Kind::Query } else { Kind::Announce });
            let dice = u16::from_le_bytes(dice::bytes()) % 1000;
            self.schedule.handle_sent(dice.into(), now);
        }
    }

    fn say(&self, kind: Kind) {
        if let Err(error) = self.sockets.say(&self.beacon(kind).seal(&self.keys[0])) {
            debug!(%error, ?kind, "beacon lost");
        }
    }

    fn is_looking(&self) -> bool {
        self.schedule.is_young()
            || self.scout.members.borrow().keys().all(|node| *node == self.node)
    }

    fn beacon(&self, kind: Kind) -> Beacon {
        let ProtocolRange { min: proto_min, max: proto_max, .. } = ProtocolRange::OURS;
        Beacon { kind, node: self.node, addr: self.addr, proto_min, proto_max }
    }

    fn poll_timeout(&self) -> Instant {
        let scheduled = self.schedule.poll_timeout().min(self.look_around_at);
        self.answers.poll_timeout().map_or(scheduled, |answer| answer.min(scheduled))
    }
}

/// One byte more than a beacon has, so that a longer datagram is seen to be longer.
const BUFFER_BYTES: usize = Beacon::MAX_BYTES + 1;

/// How often it is looked which interfaces there are.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(30);

/// How long nothing is heard after an error.
const AFTER_ERROR: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::{
        sync::{mpsc, watch},
        time::timeout,
    };

    use super::*;
    use crate::{
        cluster::{Sighting, secret::Secret},
        runtime::Tasks,
    };

    /// A node that hears and sends beacons, which knows of nobody.
    struct Heard {
        sightings: mpsc::Receiver<Sighting>,
        members: watch::Sender<BTreeMap<NodeId, SocketAddr>>,
        tasks: Tasks,
    }

    fn node(id: u64, secret: [u8; 32]) -> Heard {
        node_with(id, &[secret])
    }

    fn node_with(id: u64, secrets: &[[u8; 32]]) -> Heard {
        let (scout, sightings, members) = Scout::for_tests();
        let tasks = scout.tasks.clone();
        let addr = ([127, 0, 0, 1], id as u16).into();
        let keys = secrets.iter().map(keys).collect();
        start(NodeId::from_bits(id), addr, keys, Interfaces::Loopback, scout);
        Heard { sightings, members, tasks }
    }

    fn keys(secret: &[u8; 32]) -> Keys {
        Keys::derive(&Secret::from_bytes(secret.to_vec()).unwrap(), "chat")
    }

    fn sighting(id: u64) -> Sighting {
        Sighting { node: Some(NodeId::from_bits(id)), addr: ([127, 0, 0, 1], id as u16).into() }
    }

    async fn heard(node: &mut Heard, id: u64) {
        let heard =
            async { while node.sightings.recv().await.expect("the task runs") != sighting(id) {} };
        timeout(Duration::from_secs(10), heard).await.expect("a beacon within ten seconds");
    }

    #[tokio::test]
    async fn nodes_of_one_machine_hear_each_other() {
        let secret = dice::bytes();
        let (mut a, mut b) = (node(1, secret), node(2, secret));
        heard(&mut a, 2).await;
        heard(&mut b, 1).await;
        let mut c = node(3, secret);
        heard(&mut c, 1).await;
        heard(&mut c, 2).await;
        heard(&mut a, 3).await;
        for node in [a, b, c] {
            node.tasks.shutdown(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test]
    async fn a_beacon_of_any_secret_that_is_accepted_is_heard() {
        let [old, new] = [dice::bytes(), dice::bytes()];
        let (mut a, mut b) = (node_with(1, &[old, new]), node_with(2, &[new, old]));
        heard(&mut a, 2).await;
        heard(&mut b, 1).await;
    }

    /// Goal: a newcomer hears from those who have long fallen silent, because they answer.
    ///
    /// Method: hear its query as a node whose own next beacon is a long time off.
    #[tokio::test]
    async fn a_query_of_an_unknown_node_is_answered() {
        let secret = dice::bytes();
        let (keys, old) = (keys(&secret), node(1, secret));
        let asking = Sockets::open(Interfaces::Loopback, None).unwrap();
        let (node, addr) = (NodeId::from_bits(2), ([127, 0, 0, 1], 2).into());
        let query = Beacon { kind: Kind::Query, node, addr, proto_min: 1, proto_max: 1 };
        let (mut group, mut own) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
        let answered = async {
            loop {
                asking.say(&query.seal(&keys)).unwrap();
                let quiet = Duration::from_millis(300);
                let Ok(received) = timeout(quiet, asking.receive(&mut group, &mut own)).await
                else {
                    continue;
                };
                let (datagram, _) = received.unwrap();
                match Beacon::open(&keys, datagram) {
                    Ok(Beacon { kind: Kind::Announce, node, .. }) => return node,
                    _ => continue,
                }
            }
        };
        let answered = timeout(Duration::from_secs(10), answered).await.unwrap();
        assert_eq!(answered, NodeId::from_bits(1));
        drop(old);
    }

    #[tokio::test]
    async fn a_node_that_ends_says_goodbye() {
        let secret = dice::bytes();
        let keys = keys(&secret);
        let listening = Sockets::open(Interfaces::Loopback, None).unwrap();
        let leaving = node(1, secret);
        leaving.members.send_replace(BTreeMap::new());
        let (mut group, mut own) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
        let bye = async {
            loop {
                let (datagram, _) = listening.receive(&mut group, &mut own).await.unwrap();
                if matches!(Beacon::open(&keys, datagram), Ok(Beacon { kind: Kind::Bye, .. })) {
                    return;
                }
            }
        };
        // Listened to all the while: others of this machine talk, too, and what is not fetched is lost.
        let leave = leaving.tasks.shutdown(Duration::from_secs(10));
        let (bye, ()) = tokio::join!(timeout(Duration::from_secs(10), bye), leave);
        bye.expect("a goodbye");
    }

    #[tokio::test]
    async fn a_node_without_a_secret_sends_none() {
        let (scout, mut heard, _members) = Scout::for_tests();
        let addr = "127.0.0.1:5701".parse().unwrap();
        start(NodeId::from_bits(1), addr, Vec::new(), Interfaces::Loopback, scout);
        assert_eq!(heard.recv().await, None, "no task holds the other end");
    }

    /// Goal: nodes that say beacons on the interfaces of a network hear each other, whichever of them
    /// are named.
    ///
    /// Method: take the loopback interface for one of a network, as it is there on every machine, and
    /// beside it whatever others there are.
    #[tokio::test]
    async fn nodes_of_one_network_hear_each_other() {
        let secret = dice::bytes();
        let network = |id: u64, interface: &str| {
            let (scout, sightings, members) = Scout::for_tests();
            let tasks = scout.tasks.clone();
            let named = Interfaces::Named(vec![interface.to_owned(), "no-such-one".to_owned()]);
            let addr = ([127, 0, 0, 1], id as u16).into();
            start(NodeId::from_bits(id), addr, vec![keys(&secret)], named, scout);
            Heard { sightings, members, tasks }
        };
        let others = Interfaces::All.addrs().unwrap().into_iter().map(|addr| addr.to_string());
        for interface in others.chain(["127.0.0.1".to_owned()]) {
            let (mut a, mut b) = (network(1, &interface), network(2, &interface));
            heard(&mut a, 2).await;
            heard(&mut b, 1).await;
        }
    }
}
