//! The links between nodes: four lanes each way, of bytes, that go wrong.

use std::collections::VecDeque;

use super::{
    Checked, violated,
    world::{FrameParcel, Happening, Micros, World},
};
use crate::proto::{
    Lane, Position,
    wire::{Encoded, Frame},
};

/// How many bytes a wire takes that nobody takes off it.
const WINDOW_BYTES: usize = 8 << 10;

/// One way between two nodes, as the node that sends sees it.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// How often there has been a link.
    pub(super) generation: u64,
    /// Whether this end believes that there is one.
    pub(super) up: bool,
    /// When this end notices that there is none.
    pub(super) down_at: Option<Micros>,
    pub(super) blocked_until: Micros,
    pub(super) slow_until: Micros,
    dirty: [bool; 4],
    ready_at: Micros,
    free_at: [Micros; 4],
    /// What waits until the way is open, or the other end is up.
    stalled: VecDeque<FrameParcel>,
}

impl Wire {
    pub(super) fn mend(&mut self) {
        (self.blocked_until, self.slow_until) = (0, 0);
    }
}

/// Two nodes.
#[derive(Debug, Default)]
pub(super) struct Pair {
    generation: u64,
    shaking_until: Micros,
}

impl World {
    pub(super) fn is_open(&self, from: usize, to: usize) -> bool {
        self.wires[&(from, to)].blocked_until <= self.now
    }

    /// Whether two nodes reach each other.
    pub(super) fn is_sound(&self, a: usize, b: usize) -> bool {
        self.is_awake(a) && self.is_awake(b) && self.is_open(a, b) && self.is_open(b, a)
    }

    /// Opens links where there are none, lets go of those that are dead, and lets what waited go on.
    pub(super) fn tend_links(&mut self) -> Checked {
        let pairs: Vec<_> = self.pairs.keys().copied().collect();
        for (a, b) in pairs {
            for (from, to) in [(a, b), (b, a)] {
                self.notice_loss(from, to)?;
                if self.is_open(from, to) {
                    self.flush_stalled(from, to);
                }
            }
            let is_up = self.wires[&(a, b)].up && self.wires[&(b, a)].up;
            let is_wanted = self.is_sound(a, b) && !self.is_suspected(a, b);
            if is_wanted && !is_up && self.pairs[&(a, b)].shaking_until <= self.now {
                self.shake_hands(a, b);
            }
        }
        Ok(())
    }

    /// This end of a link is gone.
    pub(super) fn link_down(&mut self, node: usize, peer: usize) -> Checked {
        let id = self.nodes[peer].id;
        let wire = self.wires.get_mut(&(node, peer)).expect("there is a wire each way");
        (wire.up, wire.down_at) = (false, None);
        self.say(|| format!("n{node} loses its link to n{peer}"));
        if self.is_alive(node) {
            self.core_mut(node).handle_link_down(id);
            self.after(node)?;
        }
        Ok(())
    }

    pub(super) fn link_up(
        &mut self,
        node: usize,
        peer: usize,
        generation: u64,
        have: Position,
    ) -> Checked {
        let wire = self.wires.get_mut(&(node, peer)).expect("there is a wire each way");
        if wire.generation >= generation || self.nodes[node].core.is_none() {
            return Ok(());
        }
        (wire.generation, wire.up, wire.down_at) = (generation, true, None);
        (wire.dirty, wire.free_at) = ([true; 4], [0; 4]);
        wire.stalled.clear();
        let view = self.views.get_mut(&(node, peer)).expect("everybody has a view");
        if !std::mem::replace(&mut view.live, true) {
            view.since = self.now;
        }
        self.say(|| format!("n{node} has a link to n{peer}, which has {}", brief(&have)));
        let (id, now) = (self.nodes[peer].id, self.instant());
        self.core_mut(node).handle_link_up(id, have, now);
        self.flush_stalled(peer, node);
        self.after(node)
    }

    /// A frame has come through.
    pub(super) fn arrive(&mut self, from: usize, to: usize, parcel: FrameParcel) -> Checked {
        if !self.is_alive(to) {
            return Ok(());
        }
        let end = &self.wires[&(to, from)];
        let (is_early, is_mine) =
            (end.generation < parcel.generation, end.generation == parcel.generation);
        let way = &self.wires[&(from, to)];
        if is_early || !way.stalled.is_empty() || !self.is_open(from, to) {
            let way = self.wires.get_mut(&(from, to)).expect("there is a wire each way");
            way.stalled.push_back(parcel);
            return Ok(());
        }
        if !end.up || !(is_mine || self.faults.stale) {
            return Ok(());
        }
        let Ok(frame) = Frame::decode(&parcel.bytes) else {
            return violated("S7 names", format!("n{from} sent n{to} bytes that are no frame"));
        };
        self.say(|| format!("n{from} -> n{to} {:?} {}", parcel.lane, describe(&frame)));
        if matches!(frame, Frame::Snapshot { .. }) {
            self.seen.snapshot_parts += 1;
        }
        let (id, now) = (self.nodes[from].id, self.instant());
        self.core_mut(to).handle_frame(id, frame, now);
        self.after(to)
    }

    /// Writes what a node has to say to whom it can say it now.
    pub(super) fn pump(&mut self, node: usize) {
        loop {
            for lane in self.core_mut(node).poll_lanes() {
                let at = lane_index(lane);
                for peer in 0..self.nodes.len() {
                    if let Some(wire) = self.wires.get_mut(&(node, peer)) {
                        wire.dirty[at] |= wire.up;
                    }
                }
            }
            let mut wrote = false;
            for peer in 0..self.nodes.len() {
                wrote |= peer != node && self.pump_wire(node, peer);
            }
            if !wrote {
                return;
            }
        }
    }

    /// Says goodbye behind all that a node has said.
    pub(super) fn say_goodbye(&mut self, node: usize) {
        for peer in self.alive() {
            if peer != node && self.wires[&(node, peer)].up {
                self.send(node, peer, Lane::Journal, &Encoded::goodbye());
            }
        }
    }

    /// Writes to one peer what it takes now. Says whether there may be more.
    fn pump_wire(&mut self, node: usize, peer: usize) -> bool {
        let now = self.now;
        let wire = self.wires.get_mut(&(node, peer)).expect("there is a wire each way");
        if !wire.up || wire.ready_at > now || wire.dirty == [false; 4] {
            return false;
        }
        if wire.ready_at == 0 {
            // It was idle: what else there is to say in the next moment goes with it.
            let pause = match self.faults.coalesce {
                0 => 1,
                coalesce => self.dice.between(1, coalesce * 1_000),
            };
            self.pause_wire(node, peer, pause);
            return false;
        }
        let waiting: usize = wire.stalled.iter().map(|parcel| parcel.bytes.len()).sum();
        if waiting > WINDOW_BYTES {
            self.pause_wire(node, peer, 100_000);
            return false;
        }
        let is_slow = wire.slow_until > now;
        let (id, instant) = (self.nodes[peer].id, self.instant());
        let mut is_empty = true;
        for lane in Lane::ALL {
            let at = lane_index(lane);
            while self.wires[&(node, peer)].dirty[at] {
                let limit = self.dice.pick(&[1, 500, 16_384]).unwrap_or(500);
                let frames = self.core_mut(node).poll_transmit(id, lane, limit, instant);
                let wire = self.wires.get_mut(&(node, peer)).expect("there is a wire each way");
                wire.dirty[at] = !frames.is_empty();
                is_empty &= frames.is_empty();
                for frame in frames {
                    self.send(node, peer, lane, &frame);
                }
                if is_slow {
                    break;
                }
            }
        }
        if is_slow {
            let pause = self.dice.between(50_000, 400_000);
            self.pause_wire(node, peer, pause);
            return false;
        }
        self.wires.get_mut(&(node, peer)).expect("there is a wire each way").ready_at = 0;
        !is_empty
    }

    fn pause_wire(&mut self, node: usize, peer: usize, pause: Micros) {
        let wire = self.wires.get_mut(&(node, peer)).expect("there is a wire each way");
        wire.ready_at = self.now + pause;
        self.plan(pause, Happening::Pump { node });
    }

    fn send(&mut self, from: usize, to: usize, lane: Lane, frame: &Encoded) {
        let wire = &self.wires[&(from, to)];
        let is_slow = wire.slow_until > self.now;
        let mut delay = self.dice.between(500, 20_000);
        if is_slow {
            delay += 300_000;
        }
        let (mut copies, mut in_order) = (1, true);
        if self.chaos {
            if self.dice.chance(self.faults.drop) {
                return;
            }
            if self.dice.chance(self.faults.duplicate) {
                copies = 2;
            }
            if self.dice.chance(self.faults.delay) {
                delay += self.dice.between(0, 800_000);
            }
            in_order = !self.dice.chance(self.faults.reorder);
        }
        let at = lane_index(lane);
        let wire = self.wires.get_mut(&(from, to)).expect("there is a wire each way");
        let mut due = self.now + delay;
        if in_order {
            due = due.max(wire.free_at[at]);
            wire.free_at[at] = due;
        }
        let parcel = FrameParcel { generation: wire.generation, lane, bytes: frame.to_bytes() };
        for copy in 0..copies {
            let delay = due - self.now + copy * 40_000;
            self.plan(delay, Happening::Frame { from, to, parcel: parcel.clone() });
        }
    }

    fn notice_loss(&mut self, node: usize, peer: usize) -> Checked {
        let (wire, other) = (&self.wires[&(node, peer)], &self.wires[&(peer, node)]);
        if !wire.up || (self.is_alive(node) && !self.is_awake(node)) {
            return Ok(());
        }
        let is_half = !other.up && other.generation == wire.generation;
        let is_lost = is_half || !self.is_sound(node, peer) || self.is_suspected(node, peer);
        let due = match (is_lost, wire.down_at) {
            (false, _) => None,
            (true, Some(due)) if due <= self.now => return self.link_down(node, peer),
            (true, Some(due)) => Some(due),
            (true, None) => Some(self.now + self.dice.between(0, 4_000_000)),
        };
        self.wires.get_mut(&(node, peer)).expect("there is a wire each way").down_at = due;
        Ok(())
    }

    fn shake_hands(&mut self, a: usize, b: usize) {
        let pair = self.pairs.get_mut(&(a, b)).expect("they are two nodes");
        pair.generation += 1;
        pair.shaking_until = self.now + 2_000_000;
        let generation = pair.generation;
        for (node, peer) in [(a, b), (b, a)] {
            let have = self.core(peer).replica().applied().clone();
            let slowest = self.dice.pick(&[20, 200, 1_500]).unwrap_or(20);
            self.plan_within(slowest, Happening::LinkUp { node, peer, generation, have });
        }
    }

    /// Lets what waited on the way go on, in its order.
    fn flush_stalled(&mut self, from: usize, to: usize) {
        let ready = self.wires[&(to, from)].generation;
        let way = self.wires.get_mut(&(from, to)).expect("there is a wire each way");
        let stalled = std::mem::take(&mut way.stalled);
        for parcel in stalled {
            match parcel.generation <= ready {
                true => self.plan(0, Happening::Frame { from, to, parcel }),
                false => {
                    let way = self.wires.get_mut(&(from, to)).expect("there is a wire each way");
                    way.stalled.push_back(parcel);
                }
            }
        }
    }
}

fn lane_index(lane: Lane) -> usize {
    Lane::ALL.iter().position(|&other| other == lane).expect("all lanes are listed")
}

/// A position, short enough to read.
pub(super) fn brief(position: &Position) -> String {
    let each: Vec<_> =
        position.iter().map(|(origin, next)| format!("{}:{next}", &origin.short()[..4])).collect();
    format!("[{}]", each.join(" "))
}

fn describe(frame: &Frame) -> String {
    match frame {
        Frame::Have(have) => format!("have {}", brief(have)),
        Frame::Operation { id, op, .. } => {
            format!("{}-{} {op:?}", &id.origin.short()[..4], id.seq)
        }
        Frame::Report(report) => format!(
            "report {} as of {}: {} behind {:?}",
            report.topic,
            brief(&report.as_of),
            brief(&report.common),
            report.behind.iter().map(|(_, position)| brief(position)).collect::<Vec<_>>()
        ),
        Frame::Snapshot { number, index, part } => {
            let part = format!("{part:?}");
            format!("#{number} part {index} {part:.900}")
        }
        other => format!("{other:?}"),
    }
}
