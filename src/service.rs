//! A node as a service, for any server that speaks `tower` or `hyper`.

mod app;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};

#[cfg(feature = "grpc")]
use crate::client::Grpc;
use crate::client::Server;
pub use crate::client::body::Body;
pub(crate) use app::AppService;
pub use app::RequestBody;

/// A node's routes, as a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeService(Spoken);

/// What is spoken.
#[derive(Clone, Debug)]
enum Spoken {
    Http(Arc<Server>),
    #[cfg(feature = "grpc")]
    Grpc(Arc<Grpc>),
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl NodeService {
    pub(crate) fn http(server: Arc<Server>) -> Self {
        Self(Spoken::Http(server))
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn grpc(grpc: Arc<Grpc>) -> Self {
        Self(Spoken::Grpc(grpc))
    }

    fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.0.clone() {
            Spoken::Http(server) => Box::pin(async move { Ok(server.answer(request).await) }),
            #[cfg(feature = "grpc")]
            Spoken::Grpc(grpc) => Box::pin(async move { Ok(grpc.answer(request).await) }),
        }
    }
}

impl<B> tower_service::Service<Request<B>> for NodeService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        self.answer(request)
    }
}

impl<B> hyper::service::Service<Request<B>> for NodeService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<B>) -> Answer {
        self.answer(request)
    }
}
