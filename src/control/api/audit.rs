//! What operators did.

use std::cmp::Reverse;

use axum::{
    Json,
    extract::{Query, State},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paging::Paging;
use crate::{
    control::{problem::Problem, server::Desk},
    node::Question,
    report::{AuditEntry, Page},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// Where an entry stands among those of all nodes: its time, its node and its number.
type Place = (u64, String, u64);

/// What operators did, on whichever node, the newest first: the last 1,000 of each.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Paging), responses((status = 200, body = Page<AuditEntry>)))]
async fn audit(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let limit = paging.limit()?.get();
    let before = match paging.after::<String>()? {
        Some(token) => Some(read(&token).ok_or_else(Paging::wrong)?),
        None => None,
    };
    let (mut items, mut unanswered) = (Vec::new(), Vec::new());
    for (node, answer) in desk.node().ask_all::<Vec<AuditEntry>>(&Question::Audit).await {
        match answer {
            Ok(entries) => items.extend(entries),
            Err(_) => unanswered.push(node.to_string()),
        }
    }
    let total = unanswered.is_empty().then_some(items.len());
    items.retain(|entry| before.as_ref().is_none_or(|before| place(entry) < *before));
    items.sort_by_cached_key(|entry| Reverse(place(entry)));
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(token);
    Ok(Json(Page { items, next, total, unanswered }))
}

fn place(entry: &AuditEntry) -> Place {
    (entry.at_ms, entry.node.clone(), entry.number)
}

/// An entry's place, as text.
fn token(entry: &AuditEntry) -> String {
    format!("{}-{}-{}", entry.at_ms, entry.node, entry.number)
}

fn read(token: &str) -> Option<Place> {
    let (at_ms, rest) = token.split_once('-')?;
    let (node, number) = rest.split_once('-')?;
    Some((at_ms.parse().ok()?, node.to_owned(), number.parse().ok()?))
}
