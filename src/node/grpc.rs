//! How a node serves gRPC clients.

use std::{net::ToSocketAddrs, sync::Arc};

use super::{Node, ServeError, adopt, bind};
use crate::{
    client::{Tls, TlsFiles},
    service::NodeService,
};

impl Node {
    /// This node's routes as a gRPC service, to be mounted in a server of your own.
    ///
    /// It implements both `tower`'s and `hyper`'s `Service`, for paths that begin with
    /// `/org.atmosphere.grpc.AtmosphereService/`, `/grpc.health.v1.Health/`,
    /// `/grpc.reflection.v1.ServerReflection/` and its predecessor. The server must allow HTTP/2.
    pub fn grpc_service(&self) -> NodeService {
        NodeService::grpc(Arc::clone(&self.inner.grpc))
    }

    /// Serves what [`grpc_service`](Self::grpc_service) does on `addr`, and nothing else, until the
    /// node has been shut down.
    ///
    /// A host name is looked up, and the first of its addresses that can be had is listened on.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if `addr` cannot be listened on. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_grpc(&self, addr: impl ToSocketAddrs) -> Result<(), ServeError> {
        self.serve_all(bind(addr)?, self.grpc_service(), None).await
    }

    /// Serves over TLS what [`serve_grpc`](Self::serve_grpc) does.
    ///
    /// The certificate may be renewed meanwhile: see [`TlsFiles`].
    ///
    /// # Errors
    ///
    /// [`ServeError`] if `addr` cannot be listened on, or the certificate cannot be used. The node
    /// goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_grpc_tls(
        &self,
        addr: impl ToSocketAddrs,
        files: TlsFiles,
    ) -> Result<(), ServeError> {
        let listener = bind(addr)?;
        let tls = Tls::watch(files, &self.inner.clients)?;
        self.serve_all(listener, self.grpc_service(), Some(&tls)).await
    }

    /// Serves what [`serve_grpc`](Self::serve_grpc) does on a socket that listens already.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the socket cannot be used. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_grpc_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> Result<(), ServeError> {
        self.serve_all(adopt(listener)?, self.grpc_service(), None).await
    }
}
