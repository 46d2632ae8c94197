//! gRPC: the published service of Atmosphere's, for the same topics and sessions as all others.
//!
//! A topic that is subscribed to is a session of its own, whose path is the topic, so that its
//! handler has its say about it as about any other client. What a stream says goes to one of these.
//!
//! ```text
//!   Stream     Dialogue --- Subscription ---+
//!                      \--- Subscription ---+--- Opened, as of every transport
//!   Subscribe  Feed ------- Subscription ---+
//!   Send       Desk
//! ```
//!
//! Browsers speak no gRPC: a request has to be HTTP/2 and of gRPC's content type, which no page can
//! send to another origin unasked, so that there is nothing to check of origins and hosts.

mod answer;
mod caller;
mod calls;
mod codec;
mod descriptor;
mod desk;
mod dialogue;
mod feed;
mod message;
mod subscription;

use std::{
    convert::Infallible, error::Error as StdError, fmt, future::Future, pin::Pin, sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use tonic::Status;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tower_service::Service;

pub(super) use answer::Answer;
use caller::Caller;
use calls::Calls;
use codec::Codec;
use desk::Desk;

use super::{Body, Reception, responses, server::request_of};
use crate::{
    proto::{Holder, wire::MAX_MESSAGE_BYTES},
    runtime::{Front, Hub, Tasks},
};

/// The gRPC clients' side of a node.
pub(crate) struct Grpc {
    desk: Arc<Desk>,
    reception: Arc<Reception>,
    /// The services beside our own, by name.
    others: Vec<(&'static str, Route)>,
}

/// A service of whatever type.
type Route = Box<dyn Fn(Request<tonic::body::Body>) -> Answering + Send + Sync>;

type Answering = Pin<Box<dyn Future<Output = Response<tonic::body::Body>> + Send>>;

impl Grpc {
    pub(crate) fn new(
        hub: Arc<Hub>,
        front: Arc<dyn Front>,
        tasks: Tasks,
        reception: Arc<Reception>,
    ) -> Self {
        let health = HealthReporter::new();
        let set = health.set_service_status(SERVICE, ServingStatus::Serving).now_or_never();
        set.expect("nobody else has the reporter");
        let health = HealthServer::new(HealthService::from_health_reporter(health));
        let described = "the descriptors are whole";
        let others = vec![
            (HEALTH, route(health)),
            (REFLECTION, route(descriptors().build_v1().expect(described))),
            (OLD_REFLECTION, route(descriptors().build_v1alpha().expect(described))),
        ];
        Self { desk: Arc::new(Desk::new(hub, front, tasks)), reception, others }
    }

    /// Answers a request.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Err((status, sentence)) = check(&request) {
            return responses::error(status, sentence);
        }
        let answer = match self.desk.tasks().is_cancelled() {
            true => desk::shutting_down().into_http(),
            false => match self.route(request.map(tonic::body::Body::new)).await {
                Ok(answer) => answer,
                Err(refused) => return refused.map(Body::from),
            },
        };
        answer.map(|body| Body::from(Answer::new(body, self.desk.tasks().clone())))
    }

    /// # Errors
    ///
    /// The application's answer to who may not ask.
    async fn route(
        &self,
        request: Request<tonic::body::Body>,
    ) -> Result<Response<tonic::body::Body>, Response<Bytes>> {
        let path = request.uri().path().to_owned();
        let called = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let (service, method) = called.unwrap_or_default();
        if service != SERVICE {
            let other = self.others.iter().find(|(name, _)| *name == service);
            return Ok(match other {
                Some((_, route)) => route(request).await,
                None => unknown(),
            });
        }
        let (parts, body) = request.into_parts();
        let holder = Holder::new(self.reception.principal(&parts).await?, None);
        let caller = Caller { holder, request: request_of(&parts) };
        let request = Request::from_parts(parts, body);
        let calls = Calls { desk: Arc::clone(&self.desk), caller };
        let mut grpc = tonic::server::Grpc::new(Codec).max_decoding_message_size(MAX_SAID_BYTES);
        Ok(match method {
            "Stream" => grpc.streaming(calls, request).await,
            "Subscribe" => grpc.server_streaming(calls, request).await,
            "Send" => grpc.unary(calls, request).await,
            _ => unknown(),
        })
    }
}

impl fmt::Debug for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grpc").finish_non_exhaustive()
    }
}

/// What a page could send is not served.
fn check<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    if request.version() != Version::HTTP_2 {
        return Err((StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC is spoken over HTTP/2"));
    }
    let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    match rest {
        Some([] | [b'+' | b';', ..]) => Ok(()),
        _ => Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "gRPC is of type application/grpc")),
    }
}

fn unknown() -> Response<tonic::body::Body> {
    Status::unimplemented("there is no such service, or it has no such method").into_http()
}

fn descriptors() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_file_descriptor_set(descriptor::file_set())
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn route<S>(service: S) -> Route
where
    S: Service<
            Request<tonic::body::Body>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
        >,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    Box::new(move |request| {
        let answering = service.clone().call(request);
        Box::pin(async move {
            match answering.await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        })
    })
}

/// The names of the services.
const SERVICE: &str = "org.atmosphere.grpc.AtmosphereService";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const OLD_REFLECTION: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The longest that anything may be that a client says: a message, and what it is wrapped in. One
/// that is longer ends its call.
const MAX_SAID_BYTES: usize = MAX_MESSAGE_BYTES + 16 * 1024;
