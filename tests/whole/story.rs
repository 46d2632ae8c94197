//! One life of a cluster, drawn from a seed: what goes wrong, what is published meanwhile, and what
//! must be so once nothing goes wrong any more.
//!
//! 1. Every node sees all that run, and nobody else.
//! 2. All have applied the same operations of those, and know the same sessions, with the same owners.
//! 3. Every reader has everything that a node accepted which still runs, and what of others is on
//!    more nodes than crashed; of each node in the order in which it was published.
//! 4. No reader got anything twice before it came back from a machine that was gone, had its session
//!    replaced, or was told of a gap.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    cluster::{Cluster, ROOM, try_until},
    dice::Dice,
    net::{Trace, Weather},
    now,
    reader::Reader,
    spawn,
};

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(45);

/// How long all may take to be well again. Who cannot be reached is dialed every five seconds, and
/// beacons come every ten, so this is several of each.
const PATIENCE: Duration = Duration::from_secs(40);

/// How many machines may crash or leave in one life.
const MAX_CRASHES: usize = 3;

/// What happened in one life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) machines: usize,
    pub(crate) published: u64,
    /// How many of those every reader had to get.
    pub(crate) due: u64,
    pub(crate) splits: usize,
    pub(crate) cuts: usize,
    pub(crate) crashes: usize,
    pub(crate) leaves: usize,
    pub(crate) restarts: usize,
    pub(crate) comebacks: usize,
}

/// What a life came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lived {
    pub(crate) seen: Seen,
    pub(crate) trace: Trace,
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { machines, published, due, splits, cuts, crashes, leaves, restarts, comebacks } =
            self.seen;
        write!(
            f,
            "machines={machines} published={published} due={due} splits={splits} cuts={cuts} \
             crashes={crashes} leaves={leaves} restarts={restarts} comebacks={comebacks} {}",
            self.trace
        )
    }
}

/// Lives the life of a cluster of so many machines.
///
/// # Errors
///
/// What is not as it must be.
pub(crate) async fn live(machines: usize, mut dice: Dice) -> Result<Lived, String> {
    let weather = match dice.below(3) {
        0 => Weather::CALM,
        1 => Weather { lost: 20, doubled: 20, late: 50, ..Weather::CALM },
        _ => Weather {
            delay: (Duration::from_millis(1), Duration::from_millis(25)),
            lost: 50,
            doubled: 10,
            late: 100,
        },
    };
    let cluster = Cluster::new(machines, weather, Dice::new(dice.below(u64::MAX)));
    let mut story = Story {
        readers: Vec::new(),
        origins: Vec::new(),
        heal_at: None,
        seen: Seen { machines, ..Seen::default() },
        cluster,
        dice,
    };
    story.begin().await?;
    let end = now() + TROUBLE;
    let mut next_trouble = now();
    while now() < end {
        if next_trouble <= now() {
            story.trouble().await;
            next_trouble = now() + story.pause(300, 3_000);
        }
        if story.heal_at.is_some_and(|heal_at| heal_at <= now()) {
            story.heal();
        }
        story.publish().await;
        let pause = story.pause(1, 200);
        tokio::time::sleep(pause).await;
    }
    story.end().await
}

/// One run of a machine's node.
struct Origin {
    machine: usize,
    published: u64,
    /// On how many other nodes each message is at least, as far as that was said.
    stored: Arc<Mutex<BTreeMap<u64, usize>>>,
    runs: bool,
}

struct Story {
    cluster: Arc<Cluster>,
    dice: Dice,
    readers: Vec<Arc<Reader>>,
    origins: Vec<Origin>,
    heal_at: Option<tokio::time::Instant>,
    seen: Seen,
}

impl Story {
    /// All machines are one cluster, and all know who reads.
    async fn begin(&mut self) -> Result<(), String> {
        self.cluster.start_all().await;
        let running = self.cluster.running();
        running.iter().for_each(|&machine| self.handle_started(machine));
        self.readers = running.iter().map(|&at| Reader::start(&self.cluster, at)).collect();
        let is_well = || {
            let known = |reader: &Arc<Reader>| {
                reader.session().is_some_and(|session| self.cluster.all_know(session))
            };
            self.cluster.see_each_other(&running) && self.readers.iter().all(known)
        };
        match try_until(PATIENCE, is_well).await {
            Some(_) => Ok(()),
            None => Err(format!("they do not become one cluster: {:?}", self.cluster.differs())),
        }
    }

    fn pause(&mut self, shortest_ms: u64, longest_ms: u64) -> Duration {
        self.dice.between(Duration::from_millis(shortest_ms), Duration::from_millis(longest_ms))
    }

    fn handle_started(&mut self, machine: usize) {
        self.origins.push(Origin { machine, published: 0, stored: Arc::default(), runs: true });
    }

    fn handle_gone(&mut self, machine: usize) {
        let of_it = self.origins.iter_mut().filter(|origin| origin.machine == machine);
        of_it.for_each(|origin| origin.runs = false);
    }

    /// Something goes wrong, or is well again.
    async fn trouble(&mut self) {
        let (running, down) = (self.cluster.running(), self.cluster.down());
        let may_crash = running.len() > 2 && self.seen.crashes + self.seen.leaves < MAX_CRASHES;
        match self.dice.below(8) {
            0 | 1 => self.split(),
            2 | 3 => {
                let (from, to) = (self.dice.pick(&running), self.dice.pick(&running));
                self.cluster.net.cut(from, to);
                self.seen.cuts += 1;
                self.heal_later();
            }
            4 | 5 if may_crash => {
                let victim = self.dice.pick(&running);
                self.cluster.crash(victim);
                self.handle_gone(victim);
                self.seen.crashes += 1;
                if self.dice.happens(500) {
                    self.restart(victim).await;
                }
            }
            6 if may_crash => {
                let leaver = self.dice.pick(&running);
                self.leave(leaver).await;
            }
            _ if !down.is_empty() => {
                let machine = self.dice.pick(&down);
                self.restart(machine).await;
            }
            _ => self.heal(),
        }
    }

    fn split(&mut self) {
        let mut sides = [Vec::new(), Vec::new()];
        for machine in 0..self.seen.machines {
            sides[self.dice.below(2) as usize].push(machine);
        }
        self.cluster.net.split(&sides[0], &sides[1]);
        self.seen.splits += 1;
        self.heal_later();
    }

    fn heal_later(&mut self) {
        self.heal_at = Some(now() + self.pause(100, 15_000));
    }

    fn heal(&mut self) {
        self.cluster.net.heal();
        self.heal_at = None;
    }

    async fn leave(&mut self, leaver: usize) {
        // With all at its side, it hands everything over.
        let is_well = self.heal_at.is_none() && self.cluster.differs().is_none();
        let others = self.cluster.running().len() - 1;
        self.cluster.leave(leaver).await;
        let of_it = self.origins.iter().filter(|origin| origin.machine == leaver && origin.runs);
        for origin in of_it.filter(|_| is_well) {
            let mut stored = origin.stored.lock().expect("nobody panics who holds it");
            *stored = (0..origin.published).map(|number| (number, others)).collect();
        }
        self.handle_gone(leaver);
        self.seen.leaves += 1;
    }

    async fn restart(&mut self, machine: usize) {
        self.cluster.start(machine).await;
        self.handle_started(machine);
        self.seen.restarts += 1;
    }

    /// Somebody publishes who knows all readers: of others it is promised only that what they
    /// publish comes, and it may be late.
    async fn publish(&mut self) {
        let running = self.cluster.running();
        let machine = self.dice.pick(&running);
        let mut sessions = self.readers.iter().filter_map(|reader| reader.session());
        if !sessions.all(|session| self.cluster.knows(machine, session)) {
            return;
        }
        let index =
            self.origins.iter().rposition(|origin| origin.machine == machine && origin.runs);
        let index = index.expect("who runs was started");
        for _ in 0..=self.dice.below(3) {
            let origin = &mut self.origins[index];
            let (number, stored) = (origin.published, Arc::clone(&origin.stored));
            let topic = self.cluster.node(machine).topic(ROOM).expect("a topic's name");
            let receipt = topic.publish(format!("{index} {number}")).await.expect("it is accepted");
            origin.published += 1;
            self.seen.published += 1;
            spawn(async move {
                let nodes = receipt.stored(MAX_CRASHES).await.nodes;
                stored.lock().expect("nobody panics who holds it").insert(number, nodes);
            });
        }
    }

    /// Nothing more goes wrong.
    async fn end(mut self) -> Result<Lived, String> {
        self.heal();
        self.cluster.net.set_weather(Weather::CALM);
        if self.dice.happens(500) {
            for machine in self.cluster.down() {
                self.restart(machine).await;
            }
        }
        if try_until(PATIENCE, || self.wrong().is_none()).await.is_none() {
            return Err(self.wrong().expect("it was wrong a moment ago"));
        }
        self.seen.comebacks = self.readers.iter().map(|reader| reader.comebacks()).sum();
        self.seen.due = (0..self.origins.len()).map(|origin| self.due(origin).len() as u64).sum();
        Ok(Lived { seen: self.seen, trace: self.cluster.net.trace() })
    }

    /// The numbers of what every reader must get that an origin has published.
    fn due(&self, origin: usize) -> Vec<u64> {
        let Origin { published, stored, runs, .. } = &self.origins[origin];
        let stored = stored.lock().expect("nobody panics who holds it");
        let gone = self.seen.crashes + self.seen.leaves;
        let is_due = |number: &u64| *runs || stored.get(number).is_some_and(|&nodes| nodes >= gone);
        (0..*published).filter(is_due).collect()
    }

    /// What is not as it must be in the end, if anything.
    fn wrong(&self) -> Option<String> {
        if self.cluster.gaps() > 0 {
            return Some(format!("{} gaps", self.cluster.gaps()));
        }
        for (reader, it) in self.readers.iter().enumerate() {
            if let Some(wrong) = it.wrong() {
                return Some(format!("reader {reader}: {wrong}"));
            }
            for origin in 0..self.origins.len() {
                let heard = it.heard(origin);
                let due = self.due(origin);
                let lacks = due.iter().find(|number| heard.binary_search(number).is_err());
                if let Some(number) = lacks {
                    let (has, due) = (heard.len(), due.len());
                    return Some(format!(
                        "reader {reader} has {has} of {due} of {origin}, not {number}"
                    ));
                }
            }
        }
        self.cluster.differs()
    }
}
