//! How long a request is waited for, and what becomes of it if nobody waits any longer.

use std::time::Duration;

use axum::{
    RequestExt,
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use tokio::{sync::oneshot, time::timeout};
use tracing::Span;

use super::{events, guard, problem::Problem, queue::Turn};
use crate::runtime::Tasks;

/// How long a request may take: longer than peers take to answer, or not to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers for what takes too long, the stream of events apart.
pub(super) async fn limit(State(tasks): State<Tasks>, request: Request, next: Next) -> Response {
    if request.uri().path() == events::PATH {
        return next.run(request).await;
    }
    let late = || Problem::new(StatusCode::GATEWAY_TIMEOUT, "it took too long");
    let answered = timeout(PATIENCE, answer(&tasks, request, next)).await;
    answered.unwrap_or_else(|_| late().into_response())
}

/// What changes something goes on to its end, and into the audit log, though whoever asked hangs up.
async fn answer(tasks: &Tasks, request: Request, next: Next) -> Response {
    if !guard::changes(&request) {
        return next.run(request).await;
    }
    // All of it has to be here by then: nothing that goes on alone waits for a client.
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body).extract::<Bytes, _>().await;
    let body = match whole {
        Ok(body) => Body::from(body),
        Err(refusal) => return refusal.into_response(),
    };
    let request = Request::from_parts(parts, body);
    let (tell, told) = oneshot::channel();
    let turn = request.extensions().get::<Turn>().cloned();
    tasks.spawn(Span::current(), async move {
        let _ = tell.send(next.run(request).await);
        drop(turn); // Whoever hung up has it until then.
    });
    let broken = || Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "it broke");
    told.await.unwrap_or_else(|_| broken().into_response())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{Router, middleware, routing::post};
    use futures_util::FutureExt;
    use tokio::sync::Notify;
    use tower_service::Service;

    use super::*;

    #[tokio::test]
    async fn what_changes_something_ends_though_nobody_waits_for_it() {
        let (begun, go_on, done) = <(Arc<Notify>, Arc<Notify>, Arc<Notify>)>::default();
        let steps = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&done));
        let act = async move |_: String| {
            let (begun, go_on, done) = steps.clone();
            begun.notify_one();
            go_on.notified().await;
            done.notify_one();
        };
        let limit = middleware::from_fn_with_state(Tasks::default(), limit);
        let mut served = Router::new().route("/", post(act)).layer(limit);
        let request = Request::post("/").body(Body::from("what")).unwrap();
        let mut asked = Box::pin(Service::<Request>::call(&mut served, request));
        while begun.notified().now_or_never().is_none() {
            assert!((&mut asked).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(asked);
        go_on.notify_one();
        timeout(PATIENCE, done.notified()).await.expect("it goes on to its end");
    }
}
