//! A simulated cluster, as a test sees it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::runtime::{self, Runtime};
use tracing::Span;

use super::{
    Builder, Client, connection,
    machine::{Machine, Plan},
    network::Network,
};
use crate::{
    id::{InvalidTopicName, Principal, TopicName},
    proto::{Accounting, Holder},
    runtime::{Front, Tasks},
    topic::Topic,
};

/// A cluster in one thread and in virtual time. See the [module](super) for an example.
///
/// Nothing happens but while one of the methods runs that say so. Nodes are counted from 0; a method
/// that is given a node that there is not panics. Not to be used within a runtime of `tokio`'s: it
/// has one of its own.
pub struct Cluster {
    network: Arc<Network>,
    plan: Plan,
    tasks: Tasks,
    runtime: Runtime,
}

impl Cluster {
    /// A cluster yet to be started, all chances of which are drawn from `seed`.
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    pub(super) fn start(seed: u64, nodes: usize, plan: Plan) -> Self {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without sockets needs nothing");
        let tasks = Tasks::default();
        let network = Arc::new(Network::new(seed, nodes, tasks.clone()));
        let cluster = Self { network, plan, tasks, runtime };
        (0..nodes).for_each(|node| cluster.restart(node));
        let tending = Arc::clone(&cluster.network).tend();
        cluster.run(async {
            cluster.tasks.spawn(Span::none(), tending);
            while !cluster.network.is_whole() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        cluster
    }

    /// A new client, which connects to `path` on a node. Its handler has been told of it as soon as
    /// the cluster has run for a moment.
    ///
    /// # Panics
    ///
    /// If there is no route for `path`.
    pub fn client(&self, node: usize, path: &str) -> Client {
        self.client_of(Holder::default(), node, path)
    }

    /// A new client, as [`client`](Self::client) has it, which the application has authenticated.
    ///
    /// # Panics
    ///
    /// If there is no route for `path`.
    pub fn client_as(&self, principal: Principal, node: usize, path: &str) -> Client {
        self.client_of(Holder::new(Some(principal), None), node, path)
    }

    fn client_of(&self, holder: Holder, node: usize, path: &str) -> Client {
        let machines = self.network.machines();
        let has_route = machines.first().is_none_or(|machine| machine.routes.has_route(path));
        let path = TopicName::parse(path).ok().filter(|_| has_route);
        let path = path.expect("there is a route for the client's path");
        let client = Client::new(self.network.roll(), self.network.len());
        client.connect(node);
        let connecting = connection::run(Arc::clone(&self.network), path, holder, client.clone());
        let _guard = self.runtime.enter();
        self.tasks.spawn(Span::none(), connecting);
        client
    }

    /// A topic, as a node's application has it.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`] says what is wrong with the name.
    ///
    /// # Panics
    ///
    /// If the node has crashed.
    pub fn topic(&self, node: usize, name: &str) -> Result<Topic, InvalidTopicName> {
        let machine = self.network.machine(node).expect("the node runs");
        Ok(Topic::new(TopicName::parse(name)?, Arc::clone(&machine.hub)))
    }

    /// Runs the cluster until something is done, such as publishing to a [topic](Self::topic).
    pub fn run<T>(&self, until: impl Future<Output = T>) -> T {
        self.runtime.block_on(until)
    }

    /// Runs the cluster for so long, in virtual time.
    pub fn run_for(&self, duration: Duration) {
        self.run(async { tokio::time::sleep(duration).await });
    }

    /// Cuts two nodes off from each other, until they are [healed](Self::heal). They may hear of
    /// each other through others still.
    pub fn partition(&self, a: usize, b: usize) {
        self.cut(a, b);
        self.cut(b, a);
    }

    /// Lets nothing that one node says come to another, until that is [healed](Self::heal).
    pub fn cut(&self, from: usize, to: usize) {
        self.network.cut(from, to);
    }

    /// Lets everything come through again.
    pub fn heal(&self) {
        self.network.heal();
    }

    /// Kills a node: it does nothing more, and the others find out. Harmless if it is dead.
    pub fn crash(&self, node: usize) {
        if let Some(machine) = self.network.put(node, None) {
            machine.crash();
        }
    }

    /// Starts a node that has crashed, which knows nothing, under a new name. One that runs crashes
    /// first.
    pub fn restart(&self, node: usize) {
        self.crash(node);
        let _guard = self.runtime.enter();
        let machine = Machine::start(self.network.fresh_node(), &self.plan);
        self.network.put(node, Some(machine));
    }

    /// What became of the messages that the nodes stored, of all that run together.
    pub fn accounting(&self) -> Accounting {
        let _guard = self.runtime.enter();
        let of = |machine: Arc<Machine>| machine.hub.with(|core, _| core.accounting());
        self.network.machines().into_iter().map(of).sum()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}
