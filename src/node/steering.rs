//! What of a node can be looked at and changed while it runs.

use super::{Inner, InvalidLimit, Limits, Node};
use crate::{
    id::SessionId,
    route::{RouteInfo, SwapError},
    runtime::{FilterError, FilterInfo},
    session::Session,
};

impl Node {
    /// The session called `id`, wherever its client is, to send to it, close it, or whatever else; `None`
    /// if this node has not heard of it, or it is over.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(node: exosphere::Node) -> Result<(), exosphere::Error> {
    /// # let id = "1b4e28ba-2fa1-41d2-883f-0016d3cca427".parse().unwrap();
    /// if let Some(session) = node.locate(id) {
    ///     session.send("psst").await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn locate(&self, id: SessionId) -> Option<Session> {
        self.inner.routes.locate(id)
    }

    /// Gives the sessions of the route `template` to the handler called `name`, on this node, while their
    /// clients stay connected: a [named](crate::Builder::handler) one, or that which a route was started
    /// with, which is called as the route. What new clients do is its as well.
    ///
    /// A call that runs ends with the handler that it began with; the session's next one goes to the new
    /// handler, after that, one at a time and in order as ever. A session that was there before is told
    /// to the new one by its next event, not by [`ready`](crate::Handler::ready). What a handler keeps
    /// for itself of its sessions is its own: the new one has none of it.
    ///
    /// # Errors
    ///
    /// [`SwapError`]: the route has the handler that it had.
    pub fn swap(&self, template: &str, name: &str) -> Result<(), SwapError> {
        self.inner.routes.table().swap(template, name)
    }

    /// The routes of this node, by template, and who has them.
    pub fn routes(&self) -> Vec<RouteInfo> {
        self.inner.routes.table().routes()
    }

    /// The names of the handlers that routes can be [given](Self::swap): those of
    /// [`Builder::handler`](crate::Builder::handler), and the routes themselves.
    pub fn handlers(&self) -> Vec<String> {
        self.inner.routes.table().handlers()
    }

    /// The [filters](crate::Builder::filter) of this node, in their order.
    pub fn filters(&self) -> Vec<FilterInfo> {
        self.inner.hub.filters().list()
    }

    /// Removes a filter of this node: messages pass without it from now on, until the node is started
    /// again.
    ///
    /// # Errors
    ///
    /// [`FilterError`]: the filters are as they were.
    pub fn remove_filter(&self, name: &str) -> Result<(), FilterError> {
        self.inner.hub.filters().remove(name)
    }

    /// Puts the filters of this node into another order, in which messages pass them from now on.
    ///
    /// # Errors
    ///
    /// [`FilterError`]: the filters are as they were.
    pub fn order_filters(&self, names: &[&str]) -> Result<(), FilterError> {
        self.inner.hub.filters().reorder(names)
    }

    /// How much this node takes and keeps, and for how long.
    pub fn limits(&self) -> Limits {
        self.inner.limits.lock().clone()
    }

    /// Lets this node keep to other limits from now on.
    ///
    /// What topics have beyond theirs goes at once, and who lacks it is told of a gap. Connections, sessions
    /// and topics that there are beyond a limit stay; no further ones begin.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`]: all are as they were.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(node: exosphere::Node) -> Result<(), exosphere::InvalidLimit> {
    /// let mut limits = node.limits();
    /// limits.sessions = 2_000_000;
    /// node.set_limits(limits)
    /// # }
    /// ```
    pub fn set_limits(&self, limits: Limits) -> Result<(), InvalidLimit> {
        self.change_limits(|_| limits)
    }

    /// Lets this node keep to other limits than those of now. Of two that change some at once, one comes
    /// after the other, and neither undoes what the other did.
    pub(super) fn change_limits(
        &self,
        change: impl FnOnce(Limits) -> Limits,
    ) -> Result<(), InvalidLimit> {
        let mut kept = self.inner.limits.lock();
        let limits = change(kept.clone());
        limits.check()?;
        self.apply(&limits);
        *kept = limits;
        Ok(())
    }

    /// Keeps to limits that can be.
    fn apply(&self, limits: &Limits) {
        let Inner { hub, server, slots, .. } = &*self.inner;
        hub.with(|core, now| {
            let of_core = limits.of_core(core.limits());
            core.set_limits(of_core, now);
        });
        hub.set_heartbeat(limits.heartbeat);
        slots.resize(limits.connections);
        server.admission().parking.resize(limits.parked_polls);
        server.admission().bodies.resize(limits.posted_bytes);
    }
}
