//! A node's gRPC service, for any server that speaks `tower` or `hyper`.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};

use super::{Answer, Body};
use crate::client::Grpc;

/// A node's gRPC service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GrpcService {
    grpc: Arc<Grpc>,
}

impl GrpcService {
    pub(crate) fn new(grpc: Arc<Grpc>) -> Self {
        Self { grpc }
    }

    fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let grpc = Arc::clone(&self.grpc);
        Box::pin(async move { Ok(grpc.answer(request).await) })
    }
}

impl<B> tower_service::Service<Request<B>> for GrpcService
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

impl<B> hyper::service::Service<Request<B>> for GrpcService
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
