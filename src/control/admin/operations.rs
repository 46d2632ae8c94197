//! What Atmosphere's own admin API does.

use axum::{
    Extension, Json, Router,
    extract::{Path, Query, State},
    routing::{delete, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Which;
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    id::SessionId,
    proto::{Close, CloseCode},
    session::Session,
    topic::Topic,
};

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/api/admin/broadcasters/broadcast", post(broadcast))
        .route("/api/admin/broadcasters/unicast", post(unicast))
        .route("/api/admin/broadcasters/destroy", delete(destroy))
        .route("/api/admin/resources/{uuid}", delete(disconnect))
        .route("/api/admin/resources/{uuid}/resume", post(resume))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Broadcast {
    broadcaster_id: String,
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unicast {
    broadcaster_id: String,
    uuid: String,
    message: String,
}

async fn broadcast(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Json(Broadcast { broadcaster_id, message }): Json<Broadcast>,
) -> Result<Json<Value>, Problem> {
    let act = async { Ok(known(&desk, &broadcaster_id)?.publish(message).await?) };
    desk.audited(&operator, "publish to a topic", &broadcaster_id, act).await?;
    Ok(status("broadcast sent"))
}

async fn unicast(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Json(Unicast { broadcaster_id, uuid, message }): Json<Unicast>,
) -> Result<Json<Value>, Problem> {
    let act = async {
        let session = session(&desk, &uuid)?.id();
        let topic = known(&desk, &broadcaster_id)?;
        if !topic.is_read_by(session) {
            return Err(Problem::conflict("the resource is not in the broadcaster"));
        }
        Ok(topic.publish_to([session], message).await?)
    };
    desk.audited(&operator, "publish to a topic", &broadcaster_id, act).await?;
    Ok(status("unicast sent"))
}

async fn destroy(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(Which { id }): Query<Which>,
) -> Result<Json<Value>, Problem> {
    let act = async { Ok(known(&desk, &id)?.close().await?) };
    desk.audited(&operator, "close a topic", &id, act).await?;
    Ok(status("broadcaster destroyed"))
}

async fn disconnect(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(uuid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let act = async {
        session(&desk, &uuid)?.close(Close::new(CloseCode::Normal, "closed by an operator"));
        Ok(())
    };
    desk.audited(&operator, "close a session", &uuid, act).await?;
    Ok(status("resource disconnected"))
}

async fn resume(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(uuid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let act = async { Ok(session(&desk, &uuid)?.resume().await?) };
    desk.audited(&operator, "resume a session", &uuid, act).await?;
    Ok(status("resource resumed"))
}

fn status(what: &str) -> Json<Value> {
    Json(json!({ "status": what }))
}

/// A topic that there is.
fn known(desk: &Desk, name: &str) -> Result<Topic, Problem> {
    let missing = || Problem::missing("broadcaster");
    let topic = desk.node().topic(name).map_err(|_| missing())?;
    desk.node().topic_report(topic.name()).ok_or_else(missing)?;
    Ok(topic)
}

fn session(desk: &Desk, uuid: &str) -> Result<Session, Problem> {
    let id: SessionId = uuid.parse().map_err(|_| Problem::missing("resource"))?;
    desk.node().locate(id).ok_or_else(|| Problem::missing("resource"))
}
