//! Sessions that operators follow step by step.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;

use crate::{
    id::SessionId,
    node::Node,
    report::{EventReport, SessionDetails},
};

/// How many sessions are followed at a time.
const MAX_TRACKED: usize = 64;

/// How often they are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The sessions that operators of a node follow: what each does is told as events, as far as it is seen
/// four times a second.
#[derive(Default)]
pub(super) struct Tracker(Mutex<BTreeMap<SessionId, Option<SessionDetails>>>);

impl Tracker {
    /// Follows a session, too. Whether there is room for it.
    pub(super) fn add(&self, session: SessionId) -> bool {
        let mut tracked = self.0.lock();
        if tracked.len() >= MAX_TRACKED && !tracked.contains_key(&session) {
            return false;
        }
        tracked.entry(session).or_default();
        true
    }

    /// Follows a session no longer.
    pub(super) fn remove(&self, session: SessionId) {
        self.0.lock().remove(&session);
    }

    /// Follows none any more.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// The sessions that are followed.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.0.lock().keys().copied().collect()
    }

    /// Whether a session is followed.
    pub(super) fn follows(&self, session: SessionId) -> bool {
        self.0.lock().contains_key(&session)
    }

    /// What the sessions have done since this was last asked. One that is over is followed no longer.
    pub(super) async fn look(&self, node: &Node) -> Vec<EventReport> {
        let mut events = Vec::new();
        for session in self.sessions() {
            let now = node.session_details(session).await;
            let mut tracked = self.0.lock();
            let Some(before) = tracked.get_mut(&session) else { continue };
            for detail in steps(before.as_ref(), now.as_ref()) {
                events.push(EventReport {
                    kind: "session.step".to_owned(),
                    node: node.id().to_string(),
                    subject: session.to_string(),
                    detail,
                    ..EventReport::default()
                });
            }
            match now {
                Some(now) => *before = Some(now),
                None => {
                    tracked.remove(&session);
                }
            }
        }
        events
    }
}

/// What a session has done between two looks, in words; at the first, how it stands.
fn steps(before: Option<&SessionDetails>, now: Option<&SessionDetails>) -> Vec<String> {
    let Some(now) = now else {
        return vec!["is over".to_owned()];
    };
    let Some(before) = before else {
        return vec![standing(now)];
    };
    let mut steps = Vec::new();
    let stands = |it: &SessionDetails| {
        (it.epoch, it.session.detached.clone(), it.session.connection.clone())
    };
    if stands(now) != stands(before) {
        steps.push(standing(now));
    }
    let topics = |details: &SessionDetails| -> BTreeMap<String, (String, usize)> {
        let memberships = details.memberships.iter().filter(|it| !it.left);
        memberships.map(|it| (it.topic.clone(), (it.position.clone(), it.pending))).collect()
    };
    let (had, has) = (topics(before), topics(now));
    steps.extend(has.keys().filter(|it| !had.contains_key(*it)).map(|it| format!("joined {it}")));
    steps.extend(had.keys().filter(|it| !has.contains_key(*it)).map(|it| format!("left {it}")));
    for (topic, (position, pending)) in &has {
        let Some((position_before, pending_before)) = had.get(topic) else { continue };
        if position != position_before || pending != pending_before {
            steps.push(format!("is at {position} of {topic}, {pending} behind"));
        }
    }
    if now.open_pushes != before.open_pushes {
        steps.push(format!("waits for its handler with {} messages", now.open_pushes));
    }
    steps
}

/// Where a session is.
fn standing(details: &SessionDetails) -> String {
    let session = &details.session;
    match (&session.detached, &session.connection) {
        (Some(why), _) => format!("detached from {}: {why}", session.node),
        (None, Some(connection)) => {
            format!("attached to {} by {}", session.node, connection.transport)
        }
        (None, None) => format!("attached to {}", session.node),
    }
}
