//! What Tower Control needs of a node that applications do not.

use std::{convert::Infallible, error::Error as StdError};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};

use super::{AuditLog, Node, ServeError, adopt};
use crate::{
    client::{HttpLimits, Slots, Tls},
    runtime::Tasks,
};

impl Node {
    /// The tasks that serve clients, which end before the others do.
    pub(crate) fn client_tasks(&self) -> &Tasks {
        &self.inner.clients
    }

    /// What operators did on this node.
    pub(crate) fn audit_log(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The cluster's name.
    pub(crate) fn cluster_name(&self) -> &str {
        self.inner.mesh.cluster()
    }

    /// Serves a service under limits of its own, until the node has been shut down.
    pub(crate) async fn serve_on<S, B>(
        &self,
        listener: std::net::TcpListener,
        service: S,
        tls: Option<&Tls>,
        slots: &Slots,
        limits: HttpLimits,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>>,
        B: Send + Unpin + 'static,
    {
        self.serve_in(adopt(listener)?, service, tls, slots, limits).await
    }
}
