//! A cluster of simulated machines, on each of which runs a real node, or none.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use exosphere::{
    Builder, Close, Gap, Handler, Message, Node, NodeId, Session, SessionId, StartError,
    proto::Core,
};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{
    dice::Dice,
    net::{Card, Net, Weather},
    now, spawn,
};

/// The topic that every reader reads.
pub(crate) const ROOM: &str = "/room";

/// The routes of all topics, [`ROOM`] among them.
const ROUTE: &str = "/{topic}";

/// How often it is looked whether something is so.
const LOOK: Duration = Duration::from_millis(5);

/// How long after the one the next machine is started, of several.
const STAGGER: Duration = Duration::from_millis(7);

/// A cluster of simulated machines.
pub(crate) struct Cluster {
    pub(crate) net: Arc<Net>,
    seats: Mutex<Vec<Option<Machine>>>,
    gaps: Arc<AtomicUsize>,
    dir: tempfile::TempDir,
}

/// A machine that runs.
#[derive(Clone)]
pub(crate) struct Machine {
    card: Arc<Card>,
    pub(crate) node: Node,
    /// Cancelled once it has crashed.
    pub(crate) dead: CancellationToken,
}

impl Cluster {
    /// So many machines, none of which runs.
    pub(crate) fn new(machines: usize, weather: Weather, dice: Dice) -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a directory for the secret");
        let mut secret = std::fs::OpenOptions::new();
        secret.write(true).create_new(true).mode(0o600);
        let mut secret = secret.open(dir.path().join("secret")).expect("a file for the secret");
        std::io::Write::write_all(&mut secret, &[7; 32]).expect("the secret is written");
        let seats = Mutex::new(vec![None; machines]);
        Arc::new(Self { net: Net::new(dice, weather), seats, gaps: Arc::default(), dir })
    }

    /// Starts all machines, one soon after the other, and waits until all of them can be used.
    pub(crate) async fn start_all(self: &Arc<Self>) {
        let starts = (0..self.seats().len()).map(|machine| async move {
            tokio::time::sleep(STAGGER * machine as u32).await;
            self.start(machine).await;
        });
        join_all(starts).await;
    }

    /// How long after the first the last of all machines is started.
    pub(crate) fn last_start(&self) -> Duration {
        STAGGER * (self.seats().len() - 1) as u32
    }

    /// Starts a machine, at the address that is always its.
    pub(crate) async fn start(&self, machine: usize) {
        self.try_start(machine, |builder| builder).await.expect("its address is free");
    }

    /// The same, with a node that is built so, unless that does not start.
    pub(crate) async fn try_start(
        &self,
        machine: usize,
        build: impl FnOnce(Builder) -> Builder,
    ) -> Result<(), StartError> {
        let (card, gaps) = (self.net.card(machine), Arc::clone(&self.gaps));
        let node = Node::builder("whole")
            .secret_file(self.dir.path().join("secret"))
            .bind(addr(machine))
            .network(card.clone())
            .route(ROUTE, Room { gaps });
        let node = build(node).start().await.inspect_err(|_| card.switch_off())?;
        let dead = CancellationToken::new();
        let before = self.seats()[machine].replace(Machine { card, node, dead });
        assert!(before.is_none(), "machine {machine} ran already");
        Ok(())
    }

    /// Ends a machine without a word.
    pub(crate) fn crash(&self, machine: usize) {
        let Machine { card, node, dead } = self.take(machine);
        card.switch_off();
        dead.cancel();
        // What is left of it is to come to an end. Nobody hears of that.
        spawn(async move { node.shutdown().await });
    }

    /// Shuts a machine's node down, and the machine when that is done.
    pub(crate) async fn leave(&self, machine: usize) {
        let Machine { card, node, .. } = self.take(machine);
        node.shutdown().await;
        card.switch_off();
    }

    fn take(&self, machine: usize) -> Machine {
        self.seats()[machine].take().expect("the machine runs")
    }

    pub(crate) fn machine(&self, machine: usize) -> Option<Machine> {
        self.seats()[machine].clone()
    }

    pub(crate) fn node(&self, machine: usize) -> Node {
        self.machine(machine).expect("the machine runs").node
    }

    /// The machines that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        let seats = self.seats();
        (0..seats.len()).filter(|&machine| seats[machine].is_some()).collect()
    }

    /// The machines that do not.
    pub(crate) fn down(&self) -> Vec<usize> {
        let seats = self.seats();
        (0..seats.len()).filter(|&machine| seats[machine].is_none()).collect()
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Option<Machine>>> {
        self.seats.lock().expect("nobody panics who holds it")
    }

    /// Whether each of these sees all of these, and nobody else.
    pub(crate) fn see_each_other(&self, machines: &[usize]) -> bool {
        let ids: BTreeSet<NodeId> = machines.iter().map(|&it| self.node(it).id()).collect();
        machines.iter().all(|&machine| self.sees(machine) == ids)
    }

    /// Whom a machine sees.
    pub(crate) fn sees(&self, machine: usize) -> BTreeSet<NodeId> {
        let roster = self.node(machine).members().current();
        roster.members().iter().map(|member| member.id).collect()
    }

    /// Why those that run do not know the same, if that is so.
    pub(crate) fn differs(&self) -> Option<String> {
        let running = self.running();
        if !self.see_each_other(&running) {
            let seen: Vec<_> = running.iter().map(|&it| (it, self.sees(it).len())).collect();
            return Some(format!("of {}, each sees others: {seen:?}", running.len()));
        }
        let living: Vec<NodeId> = running.iter().map(|&it| self.node(it).id()).collect();
        let applied = self.differs_in(&running, "applied", |core| {
            let applied = core.replica().applied();
            living.iter().map(|&origin| applied.get(origin)).collect::<Vec<_>>()
        });
        let sessions = || {
            self.differs_in(&running, "sessions", |core| {
                let sessions = core.replica().sessions();
                sessions.map(|it| (it.id, it.claim.node, it.presence)).collect::<Vec<_>>()
            })
        };
        applied.or_else(sessions)
    }

    /// The first two machines of which something is not the same.
    fn differs_in<T: PartialEq>(
        &self,
        machines: &[usize],
        what: &str,
        of: impl Fn(&Core) -> T,
    ) -> Option<String> {
        let first = self.node(machines[0]).look(&of);
        let differs = |machine: &&usize| self.node(**machine).look(&of) != first;
        let other = machines[1..].iter().find(differs)?;
        Some(format!("{what} of {} and {other} differ", machines[0]))
    }

    /// Whether all that run know a session.
    pub(crate) fn all_know(&self, session: SessionId) -> bool {
        self.running().into_iter().all(|machine| self.knows(machine, session))
    }

    /// Whether a machine knows a session.
    pub(crate) fn knows(&self, machine: usize, session: SessionId) -> bool {
        self.node(machine).look(|core| core.replica().session(session).is_some())
    }

    /// How often a handler was told of a gap.
    pub(crate) fn gaps(&self) -> usize {
        self.gaps.load(Ordering::Relaxed)
    }
}

/// Waits until something is so, and says how long that took.
///
/// # Panics
///
/// If it is not so within `patience`.
pub(crate) async fn until(what: &str, patience: Duration, is_so: impl FnMut() -> bool) -> Duration {
    let took = try_until(patience, is_so).await;
    took.unwrap_or_else(|| panic!("not within {patience:?}: {what}"))
}

/// Waits until something is so, and says how long that took; `None` if it is not within `patience`.
pub(crate) async fn try_until(
    patience: Duration,
    mut is_so: impl FnMut() -> bool,
) -> Option<Duration> {
    let start = now();
    while !is_so() {
        if start.elapsed() >= patience {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
    Some(start.elapsed())
}

/// Where a machine's node is.
fn addr(machine: usize) -> SocketAddr {
    ([127, 0, 0, machine as u8 + 1], 5701).into()
}

/// The handler of topics that only nodes publish to.
struct Room {
    gaps: Arc<AtomicUsize>,
}

impl Handler for Room {
    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }

    async fn gap(&self, _: &Session, _: &Gap) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }
}
