//! One run of a simulated node.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};

use crate::{
    handler::AnyHandler,
    id::NodeId,
    proto::{Close, Limits},
    route::{Route, Routes, Table},
    runtime::{Call, Hub, Tasks},
    session::Session,
};

/// Makes the handler of one node.
pub(super) type MakeHandler = Box<dyn Fn() -> Arc<dyn AnyHandler>>;

/// What each node is like.
pub(super) struct Plan {
    pub(super) routes: Vec<(String, MakeHandler)>,
    pub(super) limits: Limits,
}

/// One run of a simulated node.
pub(super) struct Machine {
    pub(super) hub: Arc<Hub>,
    pub(super) routes: Arc<Routes>,
    /// Cancelled once it has crashed.
    dead: CancellationToken,
}

impl Machine {
    /// Starts the node `id`.
    pub(super) fn start(id: NodeId, plan: &Plan) -> Self {
        let (tasks, dead) = (Tasks::default(), CancellationToken::new());
        let mut table = Table::default();
        for (path, make) in &plan.routes {
            let mortal = Mortal { handler: make(), dead: dead.clone() };
            table
                .insert(path, Route::sessions(path, Arc::new(mortal)))
                .expect("the builder has tried the routes");
        }
        let (hub, duties) = Hub::new(id, plan.limits, tasks.clone());
        let hub = Arc::new(hub);
        let routes = Arc::new(Routes::new(table, Arc::clone(&hub), tasks.clone()));
        let span = info_span!(parent: Span::none(), "node", id = %id.short());
        let swept = Arc::clone(&hub);
        tasks.spawn(span.clone(), async move { swept.sweep().await });
        tasks.spawn(span, Arc::clone(&routes).attend(duties));
        Self { hub, routes, dead }
    }

    pub(super) fn id(&self) -> NodeId {
        self.hub.id()
    }

    /// Does nothing more. Who is to notice has to be told.
    pub(super) fn crash(&self) {
        self.dead.cancel();
        self.hub.tasks().cancel();
    }

    /// Whether it has crashed.
    pub(super) fn is_crashed(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Waits until it has crashed.
    pub(super) async fn crashed(&self) {
        self.dead.cancelled().await;
    }
}

/// A handler that dies with its node.
struct Mortal {
    handler: Arc<dyn AnyHandler>,
    dead: CancellationToken,
}

impl AnyHandler for Mortal {
    fn request<'a>(
        &'a self,
        session: &'a Session,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send + 'a>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = self.dead.cancelled() => std::future::pending().await,
                said = self.handler.request(session, request) => said,
            }
        })
    }

    fn call<'a>(
        &'a self,
        session: &'a Session,
        call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + 'a>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = self.dead.cancelled() => std::future::pending().await,
                said = self.handler.call(session, call) => said,
            }
        })
    }
}
