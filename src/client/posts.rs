//! What a client that speaks postman posts: a line for each of its frames.
//!
//! The answer has a line for each push that is stored. They are the first of those that were posted:
//! the others are to be posted again. Which node is asked does not matter.

use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::{Body, Negotiation, Transport, opening, responses, series::Series};
use crate::{
    id::{SessionId, TopicName},
    postman::{FromClient, FromNode, InvalidFrame},
    proto::{Acknowledgement, Mark, Post, Posted},
    runtime::{Hub, Tasks},
};

/// How long the answer to a post waits until all of it is stored. After that it is to be posted again.
const STORED_PATIENCE: Duration = Duration::from_secs(10);

/// Answers a post.
///
/// # Errors
///
/// The answer that says what is wrong, or that it is to be posted again.
pub(super) async fn answer(
    hub: &Hub,
    tasks: &Tasks,
    negotiation: &Negotiation,
    path: &TopicName,
    body: &Bytes,
) -> Result<Response<Body>, Response<Body>> {
    let session = negotiation.asked.session().ok_or_else(responses::no_session)?;
    let (path, holder) = (path.as_str(), &negotiation.holder);
    let is_known =
        || hub.with(|core, _| core.replica().session_of(session, path, holder).is_some());
    if !is_known() {
        opening::catch_up(hub, tasks, session).await;
        if !is_known() {
            return Err(responses::no_session());
        }
    }
    // Only now: whoever has no session is to cost little.
    let post = match negotiation.transport {
        Transport::Close => Ok(Post::done(session)),
        _ => read(session, negotiation.series, body),
    };
    let post = post.map_err(|error| responses::not_postman(&error.to_string()))?;
    match tokio::time::timeout(STORED_PATIENCE, hub.post(post)).await {
        Ok(Posted::Stored(stored)) => {
            let lines: String = stored.into_iter().map(line).collect();
            Ok(responses::text(responses::TEXT_PLAIN, Body::from(Bytes::from(lines))))
        }
        Ok(_) | Err(_) => Err(responses::post_again()),
    }
}

fn read(session: SessionId, series: Option<Series>, body: &Bytes) -> Result<Post, InvalidFrame> {
    let text = str::from_utf8(body).map_err(|_| InvalidFrame::Incomplete)?;
    let (mut confirmed, mut pushes) = (None, Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        match FromClient::decode(line)? {
            FromClient::Push { key, message } => pushes.push((key, message)),
            FromClient::Confirm(number) => {
                let Series { name, .. } = series.ok_or(InvalidFrame::Incomplete)?;
                confirmed = Some((name, Mark::new(number)));
            }
        }
    }
    Ok(Post::new(session, confirmed, pushes))
}

fn line(stored: Acknowledgement) -> String {
    let Acknowledgement { key, level, nodes, .. } = stored;
    FromNode::Acknowledged { key, level, nodes }.encode() + "\n"
}
