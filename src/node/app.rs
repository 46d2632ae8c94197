//! How a node serves an application of which it is a part.

use std::{convert::Infallible, error::Error as StdError, net::TcpListener};

use http::{Request, Response};
use tower_service::Service;

use super::{Node, ServeError, adopt};
use crate::{
    client::{Tls, TlsFiles},
    service::{AppService, RequestBody},
};

impl Node {
    /// Serves a service of yours on a socket that listens already, until the node has been shut down:
    /// mostly a router of axum's, in which [`service`](Self::service) answers for what the rest does
    /// not.
    ///
    /// Who connects has the limits of [`serve`](Self::serve), whatever it asks for: how many may, and
    /// how long a request's head may be and take. How long the body of a request of your own may take is up
    /// to your service.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the socket cannot be used. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(node: exosphere::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::{Router, routing::get};
    ///
    /// let app = Router::new()
    ///     .route("/", get(async || "a page"))
    ///     .fallback_service(node.service());
    /// node.serve_app(std::net::TcpListener::bind("127.0.0.1:8080")?, app).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn serve_app<S, B>(&self, listener: TcpListener, app: S) -> Result<(), ServeError>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>>,
        B: Send + 'static,
    {
        self.serve_all(adopt(listener)?, AppService::new(app), None).await
    }

    /// Serves over TLS what [`serve_app`](Self::serve_app) does, with HTTP/2 for those who can.
    ///
    /// The certificate may be renewed meanwhile: see [`TlsFiles`].
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the socket or the certificate cannot be used. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_app_tls<S, B>(
        &self,
        listener: TcpListener,
        app: S,
        files: TlsFiles,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>>,
        B: Send + 'static,
    {
        let listener = adopt(listener)?;
        let tls = Tls::watch(files, &self.inner.clients)?;
        self.serve_all(listener, AppService::new(app), Some(&tls)).await
    }
}
