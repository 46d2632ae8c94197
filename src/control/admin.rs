//! What Atmosphere's own admin API answers, in its shapes, so that tools for it work here.
//!
//! A broadcaster is a topic there, a resource is a session. Lists are not paged there: they end after
//! 1,000 items here.

mod operations;

use std::num::NonZeroUsize;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{problem::Problem, server::Desk};
use crate::{
    id::TopicName,
    report::{AccountingReport, SessionFilter, SessionReport, TopicReport},
};

/// How many items a list has at most.
const MAX_ITEMS: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/api/admin/overview", get(overview))
        .route("/api/admin/broadcasters", get(broadcasters))
        .route("/api/admin/broadcasters/detail", get(broadcaster))
        .route("/api/admin/resources", get(resources))
        .route("/api/admin/handlers", get(handlers))
        .route("/api/admin/metrics", get(metrics))
        .route("/api/admin/audit", get(audit))
        .merge(operations::routes())
}

async fn overview(State(desk): State<Desk>) -> Json<Value> {
    let cluster = desk.node().cluster_report().await;
    let connections: usize = cluster.nodes.iter().map(|node| node.sessions).sum();
    Json(json!({
        "status": "UP",
        "version": env!("CARGO_PKG_VERSION"),
        "connections": connections,
        "activeSessions": cluster.sessions,
        "broadcasters": cluster.topics,
        "handlers": desk.node().report().routes.len(),
        "interceptors": 0,
        "agentCount": 0,
        "nodes": cluster.nodes.len(),
    }))
}

async fn broadcasters(State(desk): State<Desk>) -> Json<Value> {
    let topics = desk.node().topic_reports("", None, MAX_ITEMS).await.items;
    Json(topics.iter().map(broadcaster_of).collect())
}

/// Which broadcaster is asked for.
#[derive(Debug, Deserialize)]
struct Which {
    id: String,
}

async fn broadcaster(
    State(desk): State<Desk>,
    Query(Which { id }): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let missing = || Problem::missing("broadcaster");
    let name = TopicName::parse(&id).map_err(|_| missing())?;
    let mut found = broadcaster_of(&desk.node().topic_report(&name).ok_or_else(missing)?);
    let readers = desk.node().reader_reports(&name, None, MAX_ITEMS).await.ok_or_else(missing)?;
    let readers = readers.items.iter().map(|reader| {
        let is_suspended = reader.state == "attached";
        json!({ "uuid": reader.session, "isSuspended": is_suspended })
    });
    found["scope"] = json!("APPLICATION");
    found["resources"] = readers.collect();
    Ok(Json(found))
}

async fn resources(State(desk): State<Desk>) -> Json<Value> {
    let filter = SessionFilter::default();
    let page = desk.node().session_reports(&filter, None, MAX_ITEMS).await;
    let sessions = page.map(|page| page.items).unwrap_or_default();
    Json(sessions.iter().map(resource_of).collect())
}

async fn handlers(State(desk): State<Desk>) -> Json<Value> {
    let routes = desk.node().report().routes;
    let handlers = routes.iter();
    let handlers =
        handlers.map(|route| json!({ "path": route.template, "className": route.handler }));
    Json(handlers.collect())
}

async fn metrics(State(desk): State<Desk>) -> Json<Value> {
    let cluster = desk.node().cluster_report().await;
    let AccountingReport { accepted, acknowledged, dropped, .. } = cluster.accounting;
    let dropped = dropped.total();
    let active: usize = cluster.nodes.iter().map(|node| node.sessions).sum();
    Json(json!({
        "atmosphere.connections.active": active,
        "atmosphere.broadcasters.active": cluster.topics,
        "atmosphere.messages.broadcast": accepted,
        "atmosphere.messages.delivered": acknowledged,
        "atmosphere.backpressure.drops": dropped,
    }))
}

async fn audit(State(desk): State<Desk>) -> Json<Value> {
    let entries = desk.node().audit_log().entries();
    let entries = entries.iter().map(|entry| {
        json!({
            "timestamp": entry.at_ms,
            "principal": entry.who,
            "action": entry.what,
            "target": entry.target,
            "success": entry.done,
        })
    });
    Json(entries.collect())
}

fn broadcaster_of(topic: &TopicReport) -> Value {
    json!({
        "id": topic.name,
        "className": "exosphere::Topic",
        "resourceCount": topic.sessions,
        "isDestroyed": false,
    })
}

fn resource_of(session: &SessionReport) -> Value {
    let is_attached = session.state == "attached";
    let transport = session.connection.as_ref().map(|it| &it.transport);
    json!({
        "uuid": session.id,
        "transport": transport,
        "isSuspended": is_attached,
        "isResumed": !is_attached,
        "broadcaster": session.path,
    })
}
