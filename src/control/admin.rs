//! What Atmosphere's own admin API answers, in its shapes, so that tools for it work here.
//!
//! A broadcaster is a topic there, a resource is a session.

use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

use super::server::Desk;

pub(super) fn routes() -> Router<Desk> {
    Router::new().route("/api/admin/overview", get(overview))
}

async fn overview(State(desk): State<Desk>) -> Json<Value> {
    let (node, report) = (desk.node(), desk.node().report());
    let members = node.members().current().members().len();
    Json(json!({
        "status": "UP",
        "version": report.server.version,
        "connections": report.member.sessions,
        "activeSessions": report.usage.sessions,
        "broadcasters": report.usage.topics,
        "handlers": report.routes.len(),
        "interceptors": 0,
        "agentCount": 0,
        "nodes": members,
    }))
}
