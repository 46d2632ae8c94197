//! How a simulated cluster is to be.

use std::{fmt, sync::Arc};

use super::{Cluster, machine::Plan};
use crate::{
    handler::Handler,
    proto::{Durability, Limits},
    route::{InvalidRoute, Route, Table},
};

/// How a simulated cluster is to be. See [`Cluster::builder`].
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    seed: u64,
    nodes: usize,
    plan: Plan,
}

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, nodes: 3, plan: Plan { routes: Vec::new(), limits: Limits::default() } }
    }

    /// How many nodes there are. Defaults to 3.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Lets what `handler` makes have the sessions of clients that connect to `path`, as
    /// [`Builder::route`](crate::Builder::route) does. Each node makes its own when it starts, as
    /// each process would.
    pub fn route<H: Handler>(mut self, path: &str, handler: impl Fn() -> H + 'static) -> Self {
        self.plan.routes.push((path.to_owned(), Box::new(move || Arc::new(handler()))));
        self
    }

    /// How well a client's push is stored before it is acknowledged, as
    /// [`Builder::durability`](crate::Builder::durability) says.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.plan.limits.durability = durability;
        self
    }

    /// Starts the cluster, and waits until its nodes know each other.
    ///
    /// # Errors
    ///
    /// A route cannot be.
    ///
    /// # Panics
    ///
    /// If it is called within a runtime of `tokio`'s.
    pub fn start(self) -> Result<Cluster, InvalidRoute> {
        let mut table = Table::default();
        for (path, handler) in &self.plan.routes {
            table.insert(path, Route::sessions(path, handler()))?;
        }
        Ok(Cluster::start(self.seed, self.nodes, self.plan))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, .. } = self;
        let mut fields = f.debug_struct("Builder");
        fields.field("seed", seed).field("nodes", nodes).finish_non_exhaustive()
    }
}
