//! The routes of Tower Control, and what they share.

use std::{future::Future, sync::Arc};

use axum::{Router, middleware};
use tokio::{sync::broadcast::error::RecvError, time::MissedTickBehavior};
use tracing::Span;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{
    Control, admin, api,
    events::{self, Events},
    guard, metrics, page, patience,
    problem::{self, Problem},
    token::{Operator, Token},
    told,
    tracker::{self, Tracker},
};
use crate::{
    client::Hosts,
    id::NodeId,
    node::Node,
    proto::MemberEvent,
    report::{AuditEntry, EventReport},
};

/// How long a body may be, in bytes: a message that is published, and what stands around it.
const MAX_BODY_BYTES: usize = 2 << 20;

/// What every route may need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Desk(Arc<Shared>);

struct Shared {
    node: Node,
    tokens: Vec<Token>,
    hosts: Hosts,
    events: Events,
    tracker: Tracker,
}

/// What describes the API.
#[derive(OpenApi)]
#[openapi(info(
    title = "Tower Control",
    description = "Everything that a cluster knows and can be told. Whichever node is asked speaks for all.",
))]
struct Description;

/// All routes, behind their gate.
pub(super) fn router(node: &Node, control: Control) -> Router {
    let Control { tokens, hosts, .. } = control;
    let events = Events::new(node.id(), node.client_tasks(), hosts.clone());
    let desk = Desk(Arc::new(Shared {
        node: node.clone(),
        tokens,
        hosts,
        events,
        tracker: Tracker::default(),
    }));
    let tell = desk.clone();
    let tasks = node.client_tasks().clone();
    node.client_tasks().spawn(Span::current(), async move {
        tokio::select! {
            () = tasks.cancelled() => {}
            () = tell.tell() => {}
            () = tell.tell_steps() => {}
        }
    });
    let (routes, description) =
        OpenApiRouter::with_openapi(Description::openapi()).merge(api::routes()).split_for_parts();
    let description = api::description(description);
    let events = desk.0.events.service();
    routes
        .merge(description)
        .merge(admin::routes())
        .merge(page::routes())
        .merge(metrics::routes())
        .route_service(events::PATH, events)
        .fallback(async || Problem::missing("path"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                http::StatusCode::METHOD_NOT_ALLOWED,
                "the path is right, the method is not",
            )
        })
        .layer(middleware::from_fn_with_state(node.client_tasks().clone(), patience::limit))
        .layer(middleware::from_fn(problem::explain))
        .layer(middleware::from_fn_with_state(desk.clone(), guard::admit))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(desk)
}

impl Desk {
    /// The node that was asked.
    pub(super) fn node(&self) -> &Node {
        &self.0.node
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.0.tokens
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.0.hosts
    }

    /// Does what an operator asks for, and writes down who did what to what, and what came of it.
    pub(super) async fn audited<T>(
        &self,
        operator: &Operator,
        what: &str,
        target: impl ToString,
        act: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let result = act.await;
        let detail = result.as_ref().err().map(Problem::detail).unwrap_or_default();
        self.note(operator, what, target, result.is_ok(), detail);
        result
    }

    /// Writes down who did what to what, and what came of it.
    pub(super) fn note(
        &self,
        operator: &Operator,
        what: &str,
        target: impl ToString,
        done: bool,
        detail: String,
    ) {
        let mut entry = AuditEntry::default();
        (entry.at_ms, entry.node) = (crate::node::now_ms(), self.node().id().to_string());
        (entry.who, entry.what) = (operator.name.clone(), what.to_owned());
        (entry.target, entry.done, entry.detail) = (target.to_string(), done, detail);
        self.node().audit_log().write(entry);
    }

    /// The node called `id`, if it is a member.
    pub(super) fn member(&self, id: &str) -> Result<NodeId, Problem> {
        let roster = self.node().members().current();
        let found = roster.members().iter().find(|member| member.id.to_string() == id);
        found.map(|member| member.id).ok_or_else(|| Problem::missing("node"))
    }

    /// The sessions that are followed step by step.
    pub(super) fn tracker(&self) -> &Tracker {
        &self.0.tracker
    }

    /// Tells what the sessions do that are followed, for as long as somebody asks for it.
    async fn tell_steps(&self) {
        let mut looks = tokio::time::interval(tracker::LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for event in self.tracker().look(self.node()).await {
                let event = EventReport { at_ms: crate::node::now_ms(), ..event };
                self.0.events.tell(&event).await;
            }
        }
    }

    /// Tells those who follow what happens, for as long as there is something to tell.
    async fn tell(&self) {
        let (mut members, mut audit) =
            (self.node().member_events(), self.node().audit_log().follow());
        let (mut events, mut licenses) = (self.node().events(), self.node().licenses());
        loop {
            let event = tokio::select! {
                event = members.next() => match event {
                    Some(event) => member_event(&event),
                    None => return,
                },
                event = events.next() => match event {
                    Some(event) => told::node_event(self.node().id(), event),
                    None => return,
                },
                license = licenses.next() => match license {
                    Some(license) => told::license_event(self.node().id(), license.as_ref()),
                    None => return,
                },
                entry = audit.recv() => match entry {
                    Ok(entry) => audit_event(entry),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            let event = EventReport { at_ms: crate::node::now_ms(), ..event };
            self.0.events.tell(&event).await;
        }
    }
}

fn audit_event(entry: AuditEntry) -> EventReport {
    let AuditEntry { node, who, what, target, done, detail, .. } = entry;
    let result = if done { "done" } else { "refused" };
    let detail = format!("{who}: {what}: {result} {detail}").trim_end().to_owned();
    EventReport { kind: "audit".to_owned(), node, subject: target, detail, at_ms: 0 }
}

fn member_event(event: &MemberEvent) -> EventReport {
    let (kind, member) = match event {
        MemberEvent::Joined(member) => ("node.joined", Some(member)),
        MemberEvent::Draining(member) => ("node.draining", Some(member)),
        MemberEvent::Left(member) => ("node.left", Some(member)),
        MemberEvent::Died(member) => ("node.died", Some(member)),
        MemberEvent::Replaced(member) => ("node.replaced", Some(member)),
        _ => ("node.missed", None),
    };
    EventReport {
        kind: kind.to_owned(),
        node: member.map(|it| it.id.to_string()).unwrap_or_default(),
        subject: member.map(|it| it.addr.to_string()).unwrap_or_default(),
        detail: event.to_string(),
        at_ms: 0,
    }
}
