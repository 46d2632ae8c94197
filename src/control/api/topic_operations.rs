//! What operators do to topics and their messages.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{sessions, topics::named};
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    id::{MessageId, SessionId},
    message::Message,
    topic::{ClosureError, JoinError, PublishError, Receipt, ResumeError, Topic, WithdrawError},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(open, close))
        .routes(routes!(publish))
        .routes(routes!(resume))
        .routes(routes!(add, remove))
        .routes(routes!(withdraw))
        .routes(routes!(exclude))
}

/// A message to be published.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Publication {
    /// The message, if it is text.
    message: Option<String>,
    /// The message in Base64, if it is bytes.
    base64: Option<String>,
    /// The ids of the only sessions that it is for; without it, it is for all.
    to: Option<Vec<String>>,
    /// The ids of the sessions that it is not for.
    except: Option<Vec<String>>,
}

impl Publication {
    /// The message, which is text or bytes.
    pub(super) fn message(&self) -> Result<Message, Problem> {
        match (&self.message, &self.base64) {
            (Some(text), None) => Ok(Message::text(text)),
            (None, Some(bytes)) => {
                let bytes = STANDARD
                    .decode(bytes)
                    .map_err(|error| Problem::invalid(format!("`base64` is none: {error}")))?;
                Ok(Message::binary(bytes))
            }
            _ => Err(Problem::invalid("say `message`, or else `base64`")),
        }
    }

    /// Whether it says for whom it is.
    pub(super) fn is_addressed(&self) -> bool {
        self.to.is_some() || self.except.is_some()
    }

    async fn publish(&self, topic: &Topic) -> Result<Receipt, Problem> {
        let message = self.message()?;
        let published = match (&self.to, &self.except) {
            (None, None) => topic.publish(message).await,
            (Some(to), None) => topic.publish_to(ids(to)?, message).await,
            (None, Some(except)) => topic.publish_except(ids(except)?, message).await,
            _ => return Err(Problem::invalid("say `to` or `except`, and not both")),
        };
        Ok(published?)
    }
}

/// What was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// The id of the message.
    pub(super) id: String,
}

/// Which sessions do not get a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Exclusion {
    /// The id of the session.
    session: String,
}

/// Opens a topic that is closed.
#[utoipa::path(put, path = "/api/v1/topics/{name}", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded")),
    responses((status = 204)))]
async fn open(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.open().await?) };
    desk.audited(&operator, "open a topic", &name, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Closes a topic: its sessions leave it, and nobody publishes to it or joins it until it is opened.
#[utoipa::path(delete, path = "/api/v1/topics/{name}", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded")),
    responses((status = 204)))]
async fn close(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.close().await?) };
    desk.audited(&operator, "close a topic", &name, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Publishes a message to a topic.
#[utoipa::path(post, path = "/api/v1/topics/{name}/publish", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded")), request_body = Publication,
    responses((status = 200, body = Published)))]
async fn publish(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
    Json(publication): Json<Publication>,
) -> Result<Json<Published>, Problem> {
    let act = async { publication.publish(&topic(&desk, &name)?).await };
    let receipt = desk.audited(&operator, "publish to a topic", &name, act).await?;
    Ok(Json(Published { id: receipt.id().to_string() }))
}

/// Ends the connections of a topic's clients, for them to connect anew.
#[utoipa::path(post, path = "/api/v1/topics/{name}/resume", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded")),
    responses((status = 204)))]
async fn resume(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.resume().await?) };
    desk.audited(&operator, "resume a topic's clients", &name, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a session read a topic.
#[utoipa::path(put, path = "/api/v1/topics/{name}/sessions/{id}", tag = "topics",
    params(("name" = String, Path, description = "The topic, percent-encoded"), ("id" = String, Path, description = "The session")),
    responses((status = 204)))]
async fn add(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.add(sessions::named(&id)?).await?) };
    desk.audited(&operator, "add a session to a topic", format!("{name} {id}"), act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a session read a topic no longer.
#[utoipa::path(delete, path = "/api/v1/topics/{name}/sessions/{id}", tag = "topics",
    params(("name" = String, Path, description = "The topic, percent-encoded"), ("id" = String, Path, description = "The session")),
    responses((status = 204)))]
async fn remove(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.remove(sessions::named(&id)?).await?) };
    desk.audited(&operator, "remove a session from a topic", format!("{name} {id}"), act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a message back from all who have not got it.
#[utoipa::path(delete, path = "/api/v1/topics/{name}/messages/{id}", tag = "topics",
    params(("name" = String, Path, description = "The topic, percent-encoded"), ("id" = String, Path, description = "The message")),
    responses((status = 204)))]
async fn withdraw(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(topic(&desk, &name)?.withdraw(message(&id)?).await?) };
    desk.audited(&operator, "withdraw a message", format!("{name} {id}"), act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a message back from one session, if that has not got it.
#[utoipa::path(post, path = "/api/v1/topics/{name}/messages/{id}/exclude", tag = "topics",
    params(("name" = String, Path, description = "The topic, percent-encoded"), ("id" = String, Path, description = "The message")), request_body = Exclusion,
    responses((status = 204)))]
async fn exclude(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path((name, id)): Path<(String, String)>,
    Json(Exclusion { session }): Json<Exclusion>,
) -> Result<StatusCode, Problem> {
    let act = async {
        let (topic, session) = (topic(&desk, &name)?, sessions::named(&session)?);
        Ok(topic.exclude(message(&id)?, [session]).await?)
    };
    let target = format!("{name} {id} {session}");
    desk.audited(&operator, "withdraw a message from a session", target, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn topic(desk: &Desk, name: &str) -> Result<Topic, Problem> {
    desk.node().topic(named(name)?.as_str()).map_err(Problem::invalid)
}

fn message(id: &str) -> Result<MessageId, Problem> {
    id.parse().map_err(|_| Problem::invalid("the message's id is none"))
}

fn ids(sessions: &[String]) -> Result<Vec<SessionId>, Problem> {
    sessions.iter().map(|id| sessions::named(id)).collect()
}

impl From<PublishError> for Problem {
    fn from(err: PublishError) -> Self {
        let status = match err {
            PublishError::SessionOver => StatusCode::NOT_FOUND,
            PublishError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            PublishError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            PublishError::Filtered { .. }
            | PublishError::TooManyTopics
            | PublishError::TopicClosed => StatusCode::CONFLICT,
            PublishError::InvalidTopicName(_) | PublishError::TooManyRecipients { .. } => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::new(status, err.to_string())
    }
}

impl From<JoinError> for Problem {
    fn from(err: JoinError) -> Self {
        let status = match err {
            JoinError::InvalidTopicName(_) => StatusCode::BAD_REQUEST,
            JoinError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            JoinError::SessionOver => StatusCode::NOT_FOUND,
            JoinError::NoRoom | JoinError::TooManyTopics | JoinError::TopicClosed => {
                StatusCode::CONFLICT
            }
        };
        Self::new(status, err.to_string())
    }
}

impl From<WithdrawError> for Problem {
    fn from(err: WithdrawError) -> Self {
        let status = match err {
            WithdrawError::NotKept => StatusCode::NOT_FOUND,
            WithdrawError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            WithdrawError::TooManySessions { .. } => StatusCode::CONFLICT,
        };
        Self::new(status, err.to_string())
    }
}

impl From<ResumeError> for Problem {
    fn from(err: ResumeError) -> Self {
        let status = match err {
            ResumeError::SessionOver => StatusCode::NOT_FOUND,
            ResumeError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, err.to_string())
    }
}

impl From<ClosureError> for Problem {
    fn from(err: ClosureError) -> Self {
        let status = match err {
            ClosureError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            ClosureError::TooMany => StatusCode::CONFLICT,
        };
        Self::new(status, err.to_string())
    }
}
