//! A node as a service, for any server that speaks `tower` or `hyper`.

mod app;
#[cfg(feature = "grpc")]
mod grpc;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};

use crate::client::Server;
pub use crate::client::body::Body;
pub(crate) use app::AppService;
pub use app::RequestBody;
#[cfg(feature = "grpc")]
pub use grpc::GrpcService;

/// A node's routes, as a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeService {
    server: Arc<Server>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl NodeService {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let server = Arc::clone(&self.server);
        Box::pin(async move { Ok(server.answer(request).await) })
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
