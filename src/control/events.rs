//! What happens, as a stream: a topic on a hub of its own, so that operators read it by every transport
//! that clients have, and one that was away for a moment misses nothing.
//!
//! The hub has no links: nothing of this reaches a peer's journal, or the figures of the cluster.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use serde::Serialize;
use tracing::{Span, warn};

use crate::{
    client::{Admission, Bodies, Hosts, Reception, Room, Server},
    handler::Handler,
    id::{NodeId, TopicName},
    message::Message,
    proto::{Close, CloseCode, Limits, LogLimits},
    route::{Route, Routes, Table},
    runtime::{Hub, Tasks},
    service::NodeService,
    session::Session,
    topic::Topic,
};

/// Where the events are.
pub(super) const PATH: &str = "/api/v1/events";

/// How many events are kept for those who were away.
const MAX_KEPT: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// How long an operator may be away without missing anything, whether this node knows of them or not.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// How many operators may follow what happens. Beyond that, who has been away for the longest gives way, so
/// that nobody keeps others out by coming and going.
const MAX_FOLLOWERS: usize = 256;

/// What happens, for those who follow it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Events {
    topic: Topic,
    service: NodeService,
}

/// Those who follow say nothing.
struct Followers;

impl Handler for Followers {
    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Err(Close::new(CloseCode::Policy, "this stream goes one way"))
    }
}

impl Events {
    /// Of node `node`, whose clients' tasks are `tasks`, for those who ask for one of `hosts`.
    ///
    /// The node's id is new at each start, so that a client whose position is of before that, or of
    /// another node, is told all that is kept: what happened of late, whoever followed.
    pub(super) fn new(node: NodeId, tasks: &Tasks, hosts: Hosts) -> Self {
        let mut table = Table::default();
        let route = Route::sessions(PATH, Arc::new(Followers));
        table.insert(PATH, route).expect("the template is a plain path");
        let log = LogLimits { messages: MAX_KEPT, floor: KEPT_FOR, ..LogLimits::default() };
        let limits =
            Limits { log, session_kept: KEPT_FOR, sessions: MAX_FOLLOWERS, ..Limits::default() };
        let (hub, duties) = Hub::new(node, limits, tasks.clone());
        let hub = Arc::new(hub);
        let routes = Arc::new(Routes::new(table, Arc::clone(&hub), tasks.clone()));
        let swept = Arc::clone(&hub);
        tasks.spawn(Span::current(), async move { swept.sweep().await });
        tasks.spawn(Span::current(), Arc::clone(&routes).attend(duties));
        let admission = Admission {
            origins: Vec::new(),
            hosts,
            gone_give_way: true,
            scripts: false,
            bodies: Bodies::new(0),
            parking: Room::new(MAX_FOLLOWERS),
        };
        let reception = Reception { authenticate: None, cookies: None, gives_cookies: false };
        let server = Server::new(
            Arc::clone(&hub),
            routes,
            tasks.clone(),
            admission,
            Arc::new(reception),
            Span::current(),
        );
        let name = TopicName::parse(PATH).expect("the template is a plain path");
        Self { topic: Topic::new(name, hub), service: NodeService::http(Arc::new(server)) }
    }

    /// The stream, for those who ask.
    pub(super) fn service(&self) -> NodeService {
        self.service.clone()
    }

    /// Tells all who follow.
    pub(super) async fn tell(&self, event: &impl Serialize) {
        let Ok(text) = serde_json::to_string(event) else { return };
        if let Err(error) = self.topic.publish(text).await {
            warn!(%error, "an event was not told");
        }
    }
}
