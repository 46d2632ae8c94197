//! Two nodes that do whatever the bytes say, on a link that comes and goes, know the same in the end.
//!
//! Each step takes two bytes: what happens, and to whom. Frames may wait for any time and are lost
//! with the link, but keep their order within a lane.
#![no_main]

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::Bytes;
use exosphere::{
    Message,
    id::{NodeId, Seq, SessionId, TopicName},
    proto::{
        AttachmentKey, Budget, CloseReason, Core, Detachment, Event, Holder, Lane, Limits,
        LogLimits, Recipients, TailLimits, wire::Frame,
    },
};
use libfuzzer_sys::fuzz_target;

/// The most steps of one run, so that it is over soon.
const MAX_STEPS: usize = 400;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for step in data.chunks_exact(2).take(MAX_STEPS) {
        world.step(step[0], usize::from(step[1]));
        world.handle_events();
    }
    world.heal();
    world.check();
});

struct World {
    nodes: [Core; 2],
    now: Instant,
    start: Instant,
    linked: bool,
    /// The newest sessions.
    sessions: [SessionId; 4],
    next_session: u128,
    /// What is on its way to each node, by lane.
    wires: [BTreeMap<Lane, VecDeque<Bytes>>; 2],
    /// The attachments on each node, and what each has been given of each topic and origin.
    attachments: [Vec<(AttachmentKey, BTreeMap<NodeId, Seq>)>; 2],
}

impl World {
    fn new() -> Self {
        const FEW: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");
        let limits = Limits {
            log: LogLimits { messages: FEW, ..LogLimits::default() },
            tail: TailLimits { ops: FEW, stable_ops: 2, ..TailLimits::default() },
            ..Limits::default()
        };
        let start = Instant::now();
        let mut world = Self {
            nodes: [1, 2].map(|id| Core::new(NodeId::from_bits(id), limits)),
            now: start,
            start,
            linked: false,
            sessions: [SessionId::from_bits(0); 4],
            next_session: 0,
            wires: Default::default(),
            attachments: Default::default(),
        };
        world.link_up();
        world
    }

    fn step(&mut self, what: u8, arg: usize) {
        let (node, rest, now) = (arg % 2, arg / 2, self.now);
        let session = self.sessions[rest % self.sessions.len()];
        let topic = TopicName::parse(["/a", "/b"][rest / 4 % 2]).expect("it is a name");
        let core = &mut self.nodes[node];
        match what % 16 {
            0..=2 => {
                let to = match rest / 8 % 4 {
                    0 => Recipients::except([session]),
                    1 => Recipients::only([session]),
                    _ => Recipients::Everyone,
                };
                core.publish(&topic, to, Message::from("m"), now).expect("it is small");
            }
            3 => {
                let _ = core.send(session, Message::from("m"), None, now);
            }
            4 => {
                self.next_session += 1; // A name is never used again.
                let fresh = SessionId::from_bits(self.next_session);
                let attached = core.attach(Some(session), fresh, "/", &Holder::default(), now);
                self.attachments[node].push((attached.key, BTreeMap::new()));
                self.sessions[rest % 4] = attached.session;
            }
            5 => {
                let _ = core.join(session, &topic, now);
            }
            6 => {
                let _ = core.leave(session, &topic, now);
            }
            7 => self.read(node, rest),
            8 => {
                if let Some(&(key, _)) = self.attachments[node].get(rest % 4) {
                    core.detach(key, Detachment::Lost, Duration::from_secs(10), now);
                }
            }
            9 => core.close(session, CloseReason::Application, now),
            10 | 11 => self.transmit(node, Lane::ALL[rest % 4]),
            12 | 13 => self.deliver(node, Lane::ALL[rest % 4], rest / 4),
            14 => self.pass(Duration::from_millis(1 << (rest % 16)).min(self.time_left())),
            _ if rest % 2 == 0 => self.link_up(),
            _ => self.link_down(rest % 4 == 1),
        }
    }

    fn link_up(&mut self) {
        self.link_down(false);
        self.linked = true;
        for node in [0, 1] {
            let (peer, have) =
                (self.nodes[1 - node].id(), self.nodes[1 - node].replica().applied());
            let have = have.clone();
            self.nodes[node].handle_link_up(peer, have, self.now);
        }
    }

    /// The link is gone, and perhaps each node believes that the other is dead.
    fn link_down(&mut self, are_dead: bool) {
        self.linked = false;
        self.wires = Default::default();
        for node in [0, 1] {
            let peer = self.nodes[1 - node].id();
            self.nodes[node].handle_link_down(peer);
            if are_dead {
                self.nodes[node].handle_dead(peer, self.now);
            }
        }
    }

    fn transmit(&mut self, node: usize, lane: Lane) {
        let peer = self.nodes[1 - node].id();
        for frame in self.nodes[node].poll_transmit(peer, lane, 1_000, self.now) {
            assert!(self.linked, "nothing is said without a link");
            self.wires[1 - node].entry(lane).or_default().push_back(frame.to_bytes());
        }
    }

    fn deliver(&mut self, node: usize, lane: Lane, most: usize) {
        let peer = self.nodes[1 - node].id();
        let wire = self.wires[node].entry(lane).or_default();
        for bytes in wire.drain(..wire.len().min(most)) {
            let frame = Frame::decode(&bytes).expect("what a node says is a frame");
            self.nodes[node].handle_frame(peer, frame, self.now);
        }
    }

    fn read(&mut self, node: usize, rest: usize) {
        let Some((key, given)) = self.attachments[node].get_mut(rest % 4) else { return };
        let core = &mut self.nodes[node];
        let batch = core.read(*key, Budget { messages: 1 + rest / 4, bytes: 1 << 20 });
        let mut of_this_batch = BTreeMap::new();
        for entry in &batch.entries {
            *of_this_batch.entry(entry.id()).or_insert(0) += 1;
            given.insert(entry.id().origin, entry.id().seq);
        }
        assert!(of_this_batch.values().all(|&times| times == 1), "nothing is given twice at once");
        if rest / 8 % 2 == 0
            && let Some(mark) = core.mark(*key)
        {
            core.acknowledge(*key, mark);
        }
    }

    /// Nodes that are parted for longer than closes are remembered may disagree.
    fn time_left(&self) -> Duration {
        Duration::from_secs(500).saturating_sub(self.now.saturating_duration_since(self.start))
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.nodes.iter_mut().for_each(|core| core.handle_timeout(self.now));
    }

    fn handle_events(&mut self) {
        for (core, attachments) in self.nodes.iter_mut().zip(&mut self.attachments) {
            while let Some(event) = core.poll_event() {
                if let Event::AttachmentEnded { key, .. } = event {
                    attachments.retain(|(attachment, _)| *attachment != key);
                }
            }
            core.poll_wakes();
            core.poll_lanes();
        }
    }

    /// The link is up from here on, and nothing happens any more.
    fn heal(&mut self) {
        self.link_up();
        for _ in 0..40 {
            self.pass(Duration::from_millis(500));
            self.exchange();
        }
    }

    fn exchange(&mut self) {
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for (node, lane) in [0, 1].into_iter().flat_map(|node| Lane::ALL.map(|l| (node, l))) {
                self.transmit(node, lane);
                is_moving |= self.wires[1 - node].values().any(|wire| !wire.is_empty());
                self.deliver(1 - node, lane, usize::MAX);
            }
        }
    }

    /// Memberships may differ: a join that is older than a leave, and comes after it is over, counts.
    fn check(&self) {
        let [a, b] = &self.nodes;
        assert_eq!(a.replica().applied(), b.replica().applied(), "both have stored the same");
        let sessions = |core: &Core| -> Vec<_> { core.replica().sessions().cloned().collect() };
        assert_eq!(sessions(a), sessions(b), "both know the same sessions");
    }
}
