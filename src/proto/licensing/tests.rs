//! Machines that keep to the rule, in a world of their own.

use std::collections::BTreeSet;

use super::*;

/// How often everybody looks, in milliseconds.
const TICK: u64 = 50;

/// The longest that anything said is under way, and the longest that a death goes unnoticed.
const SLOWEST: u64 = 800;
const DETECTED: u64 = 2_000;

/// Numbers that look random and are always the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

struct Machine {
    licensing: Licensing,
    /// What it said, one for each tick since it started.
    said: Vec<Claim>,
    started: u64,
    died: Option<u64>,
    /// It said so when it left.
    has_left: bool,
    /// It keeps to the limit.
    is_honest: bool,
    side: u64,
}

struct World {
    dice: Dice,
    start: Instant,
    now: u64,
    allowance: Allowance,
    machines: Vec<Machine>,
    split: bool,
}

impl World {
    fn new(seed: u64, limit: u32) -> Self {
        let limit = NonZeroU32::new(limit).unwrap();
        let allowance = Allowance::new(limit, limit);
        let (start, machines) = (start(), Vec::new());
        Self { dice: Dice(seed), start, now: 0, allowance, machines, split: false }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn join(&mut self) -> usize {
        self.join_as(false)
    }

    /// One that waits for a place, if there is none.
    fn stand_by(&mut self) -> usize {
        self.join_as(true)
    }

    fn join_as(&mut self, waits: bool) -> usize {
        let own = NodeId::from_bits(self.dice.below(u64::MAX));
        let started = 1_000_000 + self.now + self.dice.below(20);
        let licensing = Licensing::new(own, self.allowance, waits, started, self.instant());
        self.machines.push(Machine {
            licensing,
            said: Vec::new(),
            started: self.now,
            died: None,
            has_left: false,
            is_honest: true,
            side: self.dice.below(2),
        });
        self.machines.len() - 1
    }

    /// One to `most + 1` of them.
    fn join_some(&mut self, most: u64, waits: bool) {
        for _ in 0..=self.dice.below(most) {
            self.join_as(waits);
        }
    }

    fn kill(&mut self, at: usize) {
        self.machines[at].died = Some(self.now);
    }

    fn leave(&mut self, at: usize) {
        self.kill(at);
        self.machines[at].has_left = true;
    }

    fn run(&mut self, duration: u64) {
        let until = self.now + duration;
        while self.now < until {
            self.now += TICK;
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = self.instant();
        for at in 0..self.machines.len() {
            if self.machines[at].died.is_some() {
                continue;
            }
            let live = self.seen_by(at);
            let left = self.machines.iter().filter(|other| other.has_left);
            let left: BTreeSet<_> = left.map(|other| other.licensing.own).collect();
            let Machine { licensing, said, is_honest, .. } = &mut self.machines[at];
            licensing.handle_members(&live, |node| left.contains(&node), now);
            let any = Allowance::new(NonZeroU32::MAX, NonZeroU32::MAX);
            licensing.set_allowance(if *is_honest { self.allowance } else { any });
            licensing.handle_timeout(now);
            said.push(licensing.claim().clone());
        }
        for at in 0..self.machines.len() {
            let Machine { licensing, died, is_honest, .. } = &self.machines[at];
            let is_over = matches!(
                licensing.standing(),
                Standing::Refused { .. } | Standing::Exceeded { .. }
            );
            if is_over && died.is_none() && *is_honest {
                self.leave(at);
            }
        }
    }

    /// Those whom one takes to be alive, with what they said a while ago.
    fn seen_by(&self, a: usize) -> BTreeMap<NodeId, Claim> {
        let one = &self.machines[a];
        let refused = one.licensing.refused(self.instant());
        let said = |(b, other): (usize, &Machine)| {
            let delay = (a as u64 * 7 + b as u64 * 13) % (SLOWEST / TICK) * TICK;
            let is_cut = self.split && one.side != other.side;
            let is_seen = other.died.is_none_or(|died| self.now < died + DETECTED);
            let id = other.licensing.own;
            if a == b || is_cut || !is_seen || other.has_left || refused.contains(&id) {
                return None;
            }
            let at = (self.now.checked_sub(other.started + delay)? / TICK) as usize;
            let said = other.said.get(at.min(other.said.len().checked_sub(1)?))?;
            Some((id, said.clone()))
        };
        self.machines.iter().enumerate().filter_map(said).collect()
    }

    fn standing(&self, at: usize) -> Standing {
        self.machines[at].licensing.standing()
    }

    /// Whom the active ones will have nothing to do with.
    fn refused(&self) -> BTreeSet<NodeId> {
        let active = self.active();
        let by = |&at: &usize| self.machines[at].licensing.refused(self.instant());
        active.iter().flat_map(by).collect()
    }

    fn active(&self) -> BTreeSet<usize> {
        let is_active = |machine: &Machine| {
            machine.died.is_none() && machine.licensing.standing() == Standing::Active
        };
        (0..self.machines.len()).filter(|&at| is_active(&self.machines[at])).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn of_any_number_that_start_at_once_exactly_as_many_are_active_as_may() {
    for (limit, nodes) in [(1, 1), (1, 2), (4, 4), (4, 5), (27, 28), (27, 40)] {
        let mut world = World::new(u64::from(limit), limit);
        for _ in 0..nodes {
            world.join();
        }
        world.run(5_000);
        assert_eq!(world.active().len(), nodes.min(limit as usize), "{nodes} with {limit}");
    }
}

#[test]
fn who_comes_later_is_refused_and_told_how_many_there_are() {
    for limit in [4, 27] {
        let mut world = World::new(1, limit);
        for _ in 0..limit {
            world.join();
        }
        world.run(5_000);
        let late = world.join();
        world.run(5_000);
        assert_eq!(world.active(), (0..late).collect());
        assert_eq!(world.standing(late), Standing::Refused { active: limit });
    }
}

#[test]
fn a_place_is_free_at_once_if_its_node_left_and_later_if_it_died() {
    for (leaves, hold) in [(true, 0), (false, 60_000)] {
        let mut world = World::new(2, 2);
        world.join();
        world.join();
        world.run(5_000);
        if leaves {
            world.leave(0)
        } else {
            world.kill(0)
        }
        world.run(3_000);
        let next = world.join();
        world.run(3_000);
        assert_eq!(world.active().contains(&next), leaves);
        world.run(hold - hold.min(6_000) + 1_000);
        world.join();
        world.run(5_000);
        assert_eq!(world.active().len(), 2);
    }
}

#[test]
fn who_stands_by_takes_the_first_place_that_is_free_and_only_one_does() {
    for leaves in [true, false] {
        let mut world = World::new(3, 2);
        world.join();
        world.join();
        world.run(5_000);
        world.stand_by();
        world.stand_by();
        world.run(100_000);
        assert_eq!(world.active(), BTreeSet::from([0, 1]));
        assert_eq!(world.standing(2), Standing::Standby { active: 2 });
        if leaves {
            world.leave(0)
        } else {
            world.kill(0)
        }
        world.run(if leaves { 4_000 } else { 66_000 });
        assert_eq!(world.active().len(), 2);
        // Those that were active are gone, one after another: the cluster goes on.
        world.leave(1);
        world.run(4_000);
        assert_eq!(world.active(), BTreeSet::from([2, 3]));
    }
}

#[test]
fn who_is_active_stays_in_the_place_of_one_that_died() {
    let mut world = World::new(6, 2);
    let join_on = |world: &mut World, side| {
        let at = world.join();
        world.machines[at].side = side;
    };
    (0..2).for_each(|side| join_on(&mut world, side));
    world.run(5_000);
    world.split = true;
    world.run(65_000);
    (0..2).for_each(|side| join_on(&mut world, side));
    world.run(5_000);
    assert_eq!(world.active(), BTreeSet::from([0, 1, 2, 3]));
    world.split = false;
    world.run(2_000);
    world.kill(0);
    world.run(40_000);
    assert_eq!(world.active().len(), 2);
}

#[test]
fn what_ends_a_licence_lets_all_stay_and_nobody_but_the_first_join() {
    let mut world = World::new(4, 4);
    for _ in 0..3 {
        world.join();
    }
    world.run(5_000);
    world.allowance = Allowance { joining: NonZeroU32::MIN, ..world.allowance };
    let late = world.join();
    world.run(100_000);
    assert_eq!(world.active(), BTreeSet::from([0, 1, 2]));
    assert_eq!(world.standing(late), Standing::Refused { active: 3 });
    (0..3).for_each(|at| world.leave(at));
    world.run(1_000);
    let first = world.join();
    world.run(5_000);
    assert_eq!(world.active(), BTreeSet::from([first]));
}

#[test]
fn who_does_not_give_way_is_refused_by_all_others_and_nobody_else_is() {
    let mut world = World::new(5, 2);
    world.join();
    world.join();
    world.run(5_000);
    let late = world.join();
    world.machines[late].is_honest = false;
    world.run(34_000);
    assert_eq!(world.refused(), BTreeSet::new());
    world.run(5_000);
    let id = world.machines[late].licensing.own;
    for at in [0, 1] {
        let refused = world.machines[at].licensing.refused(world.instant());
        assert_eq!(refused, BTreeSet::from([id]));
    }
    // It stays refused although nothing is heard of it, until there is a place for it.
    for _ in 0..30 {
        world.run(10_000);
        assert_eq!(world.refused(), BTreeSet::from([id]));
    }
    world.leave(0);
    world.run(1_000);
    assert_eq!(world.refused(), BTreeSet::new());
}

/// Goal: without partitions there is never one too many; with them, never 40 s after they have healed,
/// and nobody gives way who was there before. Nobody is refused who gives way, and where nodes wait,
/// every place is taken in the end.
#[test]
fn there_are_never_too_many_for_long_whatever_comes_goes_and_is_cut_off() {
    for seed in 0..2_000 {
        let limit = [1, 2, 3, 5][seed as usize % 4];
        let mut world = World::new(seed, limit);
        let (splits, waits) = (seed % 2 == 1, seed % 3 == 0);
        world.join_some(3, waits);
        for _ in 0..2 + world.dice.below(6) {
            let pause = world.dice.below(6_000);
            world.run(pause);
            world.join_some(2, waits);
            let active: Vec<_> = world.active().into_iter().collect();
            if active.len() > 1 && world.dice.below(3) == 0 {
                let victim = world.dice.below(active.len() as u64) as usize;
                world.kill(active[victim]);
            }
            assert!(world.active().len() <= limit as usize, "seed {seed}");
        }
        world.run(5_000);
        let before = world.active();
        assert!(before.len() <= limit as usize, "seed {seed}");
        if splits {
            world.split = true;
            world.join_some(3, waits);
            let pause = 5_000 + world.dice.below(100_000);
            world.run(pause);
            world.split = false;
            world.run(40_000);
        }
        let after = world.active();
        assert!(after.len() <= limit as usize, "seed {seed}");
        assert!(before.is_subset(&after), "seed {seed}: {before:?} {after:?}");
        assert_eq!(world.refused(), BTreeSet::new(), "seed {seed}");
        if seed % 12 < 2 && waits {
            world.run(70_000);
            let alive = world.machines.iter().filter(|machine| machine.died.is_none()).count();
            assert_eq!(world.active().len(), alive.min(limit as usize), "seed {seed}");
        }
    }
}
