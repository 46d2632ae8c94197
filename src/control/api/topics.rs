//! Topics: what is in them, and who reads them.

use std::num::NonZeroUsize;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paging::Paging;
use crate::{
    control::{problem::Problem, server::Desk},
    id::TopicName,
    report::{MessageEntry, Page, ReaderReport, TopicReport},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(topics))
        .routes(routes!(topic))
        .routes(routes!(messages))
        .routes(routes!(readers))
}

/// Which topics are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
struct Which {
    /// What their names begin with.
    prefix: String,
    /// Whether to list those that are closed, of which nothing else may be kept, and only those.
    closed: bool,
}

/// The topics, by name, but for those of single sessions.
#[utoipa::path(get, path = "/api/v1/topics", tag = "topics", params(Which, Paging), responses((status = 200, body = Page<TopicReport>)))]
async fn topics(
    State(desk): State<Desk>,
    Query(Which { prefix, closed }): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<TopicReport>>, Problem> {
    let after = paging.after.as_deref().map(named).transpose()?;
    let limit = paging.limit()?;
    Ok(Json(match closed {
        true => closed_topics(&desk, &prefix, after.as_ref(), limit),
        false => desk.node().topic_reports(&prefix, after.as_ref(), limit).await,
    }))
}

fn closed_topics(
    desk: &Desk,
    prefix: &str,
    after: Option<&TopicName>,
    limit: NonZeroUsize,
) -> Page<TopicReport> {
    let mut page = Page::default();
    let mut names = desk.node().closed_topics();
    names.retain(|name| name.as_str().starts_with(prefix));
    page.total = Some(names.len());
    names.retain(|name| after.is_none_or(|after| name > after));
    let part = names.iter().take(limit.get());
    page.items = part.filter_map(|name| desk.node().topic_report(name)).collect();
    let last = names.get(limit.get() - 1).filter(|_| names.len() > limit.get());
    page.next = last.map(|name| name.as_str().to_owned());
    page
}

/// A topic.
#[utoipa::path(get, path = "/api/v1/topics/{name}", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded")),
    responses((status = 200, body = TopicReport)))]
async fn topic(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<TopicReport>, Problem> {
    let report = desk.node().topic_report(&named(&name)?);
    report.map(Json).ok_or_else(|| Problem::missing("topic"))
}

/// The messages of a topic that are kept, the newest first, as the node that is asked has them.
#[utoipa::path(get, path = "/api/v1/topics/{name}/messages", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded"), Paging),
    responses((status = 200, body = Page<MessageEntry>)))]
async fn messages(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<MessageEntry>>, Problem> {
    let name = named(&name)?;
    let page = desk.node().message_reports(&name, paging.after()?, paging.limit()?).await;
    page.map(Json).ok_or_else(|| Problem::missing("topic"))
}

/// The sessions that read a topic, by id.
#[utoipa::path(get, path = "/api/v1/topics/{name}/sessions", tag = "topics", params(("name" = String, Path, description = "The topic, percent-encoded"), Paging),
    responses((status = 200, body = Page<ReaderReport>)))]
async fn readers(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ReaderReport>>, Problem> {
    let name = named(&name)?;
    let page = desk.node().reader_reports(&name, paging.after()?, paging.limit()?).await;
    page.map(Json).ok_or_else(|| Problem::missing("topic"))
}

/// The topic called `name`.
pub(super) fn named(name: &str) -> Result<TopicName, Problem> {
    TopicName::parse(name).map_err(Problem::invalid)
}
