//! How many bytes two nodes tell each other of how far their sessions have read, for one message; by
//! how many sessions get it. It must not grow with that.
//!
//! Nothing here depends on the machine: two nodes without sockets, each with half of the sessions,
//! in virtual time. Each session has the message at some time within `--spread`.
//!
//! ```text
//! cargo bench --bench progress -- [--spread MILLIS]
//! ```

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use exosphere::{
    Message,
    id::{NodeId, SessionId, TopicName},
    proto::{AttachmentKey, Budget, Core, Holder, Lane, Limits, Position, Recipients, wire::Frame},
};

/// How many sessions there are.
const SESSIONS: [usize; 3] = [100, 1_000, 10_000];

/// How much more may be told of the most sessions than of the fewest. A position says the same of
/// any number of sessions; but who acknowledges early makes a report that names a few one by one.
const MAX_GROWTH: f64 = 2.0;

/// How long what nodes say is under way, and how often they are looked at.
const TICK: Duration = Duration::from_millis(1);

/// How many ticks pass until all is at rest.
const REST: u32 = 8_000;

const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };

/// Measures reports of progress.
#[derive(Debug, Parser)]
struct Arguments {
    /// Within how many milliseconds all sessions have the message.
    #[arg(long, value_name = "MILLIS", default_value_t = 200)]
    spread: u32,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let Arguments { spread, .. } = Arguments::parse();
    println!("one message, which all sessions of two nodes have within {spread} ms");
    let mut told = Vec::new();
    for sessions in SESSIONS {
        let Told { reports, bytes, each } = World::new(sessions).publish(spread);
        let ratio = bytes as f64 / each as f64;
        println!(
            "{sessions:>6} sessions: {reports} reports, {bytes} bytes; \
             as one report for each session {each} bytes, ratio {ratio:.5}"
        );
        told.push(bytes as f64);
    }
    let growth = told[told.len() - 1] / told[0];
    println!("growth {growth:.2}, of {MAX_GROWTH} at the most");
    match growth <= MAX_GROWTH {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What nodes told each other.
#[derive(Default)]
struct Told {
    reports: usize,
    bytes: usize,
    /// As many bytes, if each session had made a report of its own.
    each: usize,
}

/// Two nodes, and their sessions.
struct World {
    now: Instant,
    nodes: [Core; 2],
    sessions: Vec<(usize, AttachmentKey)>,
    topic: TopicName,
    told: Told,
}

impl World {
    fn new(sessions: usize) -> Self {
        let topic = TopicName::parse("/chat/lobby").expect("it is a name");
        let nodes = [1, 2].map(|id| Core::new(NodeId::from_bits(id), Limits::default()));
        let mut world =
            Self { now: now(), nodes, sessions: Vec::new(), topic, told: Told::default() };
        for (at, peer) in [(0, 2), (1, 1)] {
            let peer = NodeId::from_bits(peer);
            world.nodes[at].handle_link_up(peer, Position::new(), world.now);
        }
        for session in 0..sessions {
            let (at, id) = (session % 2, SessionId::from_bits(session as u128));
            let core = &mut world.nodes[at];
            let key =
                core.attach(None, id, world.topic.as_str(), &Holder::default(), world.now).key;
            core.join(id, &world.topic, world.now).expect("the session was just attached");
            world.sessions.push((at, key));
        }
        (0..REST).for_each(|_| world.tick());
        world.told = Told::default();
        world
    }

    /// Publishes a message, lets all have it, and says what that made the nodes tell.
    fn publish(mut self, spread: u32) -> Told {
        let message = Message::text("x".repeat(100));
        let published = self.nodes[0].publish(&self.topic, Recipients::Everyone, message, self.now);
        published.expect("the message is small");
        let mut waiting = self.sessions.clone();
        for tick in 0..REST {
            self.tick();
            let left = u64::from(spread.saturating_sub(tick)) * self.sessions.len() as u64;
            let left = (left / u64::from(spread.max(1))) as usize;
            // In an order that has nothing to do with that in which they came.
            while waiting.len() > left {
                let (at, key) = waiting.swap_remove(waiting.len() * 7 / 11);
                self.acknowledge(at, key);
            }
        }
        self.told.each = self.told.bytes.div_ceil(self.told.reports.max(1)) * self.sessions.len();
        self.told
    }

    fn acknowledge(&mut self, at: usize, key: AttachmentKey) {
        let core = &mut self.nodes[at];
        assert_eq!(core.read(key, ALL).entries.len(), 1, "the message has come by now");
        let mark = core.mark(key).expect("something was read");
        core.acknowledge(key, mark);
    }

    fn tick(&mut self) {
        self.now += TICK;
        for (at, peer) in [(0, 1), (1, 0)] {
            let (id, peer_id) =
                (NodeId::from_bits(1 + at as u64), NodeId::from_bits(2 - at as u64));
            for lane in Lane::ALL {
                let frames = self.nodes[at].poll_transmit(peer_id, lane, usize::MAX, self.now);
                for frame in frames {
                    if lane == Lane::Progress {
                        self.told.reports += 1;
                        self.told.bytes += frame.len();
                    }
                    let frame = Frame::decode(&frame.to_bytes()).expect("nodes send frames");
                    self.nodes[peer].handle_frame(id, frame, self.now);
                }
            }
        }
        for core in &mut self.nodes {
            core.poll_lanes();
            core.poll_wakes();
            if core.poll_timeout().is_some_and(|due| due <= self.now) {
                core.handle_timeout(self.now);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a run begins at any instant")]
fn now() -> Instant {
    Instant::now()
}
