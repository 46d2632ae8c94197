//! What befalls nodes and links.

use super::{
    Checked,
    world::{Happening, SECOND, World},
};

/// Something that befalls the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blow {
    Crash,
    Cut,
    CutOneWay,
    Leave,
    Partition,
    Pause,
    Reset,
    Slow,
    Suspect,
}

impl Blow {
    pub(super) const ALL: [Self; 9] = [
        Self::Crash,
        Self::Cut,
        Self::CutOneWay,
        Self::Leave,
        Self::Partition,
        Self::Pause,
        Self::Reset,
        Self::Slow,
        Self::Suspect,
    ];
}

/// The fewest nodes that a blow leaves alive.
const FEWEST: usize = 2;

/// The most nodes at once.
const MOST: usize = 5;

impl World {
    /// Something befalls the cluster, and something else will.
    pub(super) fn blow(&mut self) -> Checked {
        if !self.chaos {
            return Ok(());
        }
        let most = self.faults.every;
        self.plan_within(most, Happening::Blow);
        let weights = self.faults.blows;
        let Some(blow) = self.dice.weighted(&weights) else {
            return Ok(());
        };
        let alive = self.alive();
        let (Some(a), Some(b)) = (self.dice.pick(&alive), self.dice.pick(&alive)) else {
            return Ok(());
        };
        let blow = Blow::ALL[blow];
        let is_last = alive.len() <= FEWEST;
        match blow {
            Blow::Crash if !is_last => return self.crash(a),
            Blow::Pause => self.pause_node(a),
            Blow::Leave if !is_last && self.is_awake(a) => return self.leave_cluster(a),
            Blow::Partition => self.partition(&alive),
            Blow::Cut if a != b => self.cut(&[(a, b), (b, a)]),
            Blow::CutOneWay if a != b => self.cut(&[(a, b)]),
            Blow::Reset if a != b && self.wires[&(a, b)].up && self.is_awake(a) => {
                return self.link_down(a, b);
            }
            Blow::Slow if a != b => self.slow_down(a, b),
            Blow::Suspect if a != b => self.suspect(a, b, &alive),
            _ => {}
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) -> Checked {
        self.say(|| format!("n{node} crashes"));
        self.plan_successor();
        self.end_node(node)
    }

    /// A node does nothing for a while, shorter than the dead are remembered; what comes for it waits.
    fn pause_node(&mut self, node: usize) {
        let longest = self.dice.pick(&[1, 3, 8]).unwrap_or(2);
        let until = self.now + self.dice.between(1, longest) * SECOND;
        self.say(|| format!("n{node} pauses"));
        let paused_until = &mut self.nodes[node].paused_until;
        *paused_until = until.max(*paused_until);
    }

    /// A node leaves on purpose: its clients are sent away, its journal is written, it goes.
    fn leave_cluster(&mut self, node: usize) -> Checked {
        if self.nodes[node].leaving {
            return Ok(());
        }
        self.say(|| format!("n{node} leaves"));
        self.nodes[node].leaving = true;
        for connection in 0..self.connections.len() {
            if self.connections[connection].node == node && self.connections[connection].server_open
            {
                self.detach(connection)?;
                self.plan_within(200, Happening::HangUp { connection });
            }
        }
        // Nothing is waited for but time: what is not out by then is as lost as in a crash.
        self.plan(300_000, Happening::Farewell { node });
        self.plan(400_000, Happening::Depart { node });
        self.plan_successor();
        Ok(())
    }

    fn plan_successor(&mut self) {
        if self.alive().len() <= MOST {
            self.plan_within(4_000, Happening::Start);
        }
    }

    fn partition(&mut self, alive: &[usize]) {
        let sides: Vec<_> = alive.iter().map(|&node| (node, self.dice.chance(500))).collect();
        self.say(|| format!("a partition: {sides:?}"));
        let mut ways = Vec::new();
        for &(a, side) in &sides {
            ways.extend(sides.iter().filter(|(_, other)| *other != side).map(|&(b, _)| (a, b)));
        }
        self.cut(&ways);
    }

    fn cut(&mut self, ways: &[(usize, usize)]) {
        let longest = self.faults.longest_cut;
        let until = self.now + self.dice.between(100, longest) * 1_000;
        let seconds = (until - self.now) as f64 / SECOND as f64;
        self.say(|| format!("cut for {seconds:.1} s: {ways:?}"));
        for way in ways {
            let wire = self.wires.get_mut(way).expect("there is a wire each way");
            wire.blocked_until = wire.blocked_until.max(until);
        }
    }

    fn slow_down(&mut self, from: usize, to: usize) {
        let until = self.now + self.dice.between(1, 6) * SECOND;
        self.say(|| format!("the way from n{from} to n{to} is slow"));
        self.wires.get_mut(&(from, to)).expect("there is a wire each way").slow_until = until;
    }

    /// A node, or all, cannot see any more that another is alive.
    fn suspect(&mut self, node: usize, suspect: usize, alive: &[usize]) {
        let until = self.now + self.dice.between(1, 8) * SECOND;
        let all = self.dice.chance(300);
        self.say(|| format!("n{node} (all: {all}) cannot see n{suspect}"));
        for &other in alive {
            if other != suspect && (all || other == node) {
                let view = self.views.get_mut(&(other, suspect)).expect("everybody has a view");
                view.suspected_until = until;
            }
        }
    }
}
