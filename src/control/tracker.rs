//! Sessions that operators follow step by step.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::{
    id::SessionId,
    node::Node,
    report::{EventReport, SessionDetails},
};

/// How many sessions are followed at a time.
const MAX_TRACKED: usize = 64;

/// How often some of them are looked at, and how many: what a look costs, it costs 16 times a second at
/// the most.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOKED_AT: usize = 4;

/// The sessions that operators of a node follow: what each does is told as events, as far as it is seen
/// four times a second, or less often if there are more than four.
#[derive(Default)]
pub(super) struct Tracker(Mutex<Tracked>);

#[derive(Default)]
struct Tracked {
    /// Each as it was when it was last looked at.
    sessions: BTreeMap<SessionId, Option<SessionDetails>>,
    /// Which was looked at last.
    last: Option<SessionId>,
}

impl Tracker {
    /// Follows a session, too. Whether there is room for it.
    pub(super) fn add(&self, session: SessionId) -> bool {
        let sessions = &mut self.0.lock().sessions;
        if sessions.len() >= MAX_TRACKED && !sessions.contains_key(&session) {
            return false;
        }
        sessions.entry(session).or_default();
        true
    }

    /// Follows a session no longer.
    pub(super) fn remove(&self, session: SessionId) {
        self.0.lock().sessions.remove(&session);
    }

    /// Follows none any more.
    pub(super) fn clear(&self) {
        self.0.lock().sessions.clear();
    }

    /// The sessions that are followed.
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.0.lock().sessions.keys().copied().collect()
    }

    /// Whether a session is followed.
    pub(super) fn follows(&self, session: SessionId) -> bool {
        self.0.lock().sessions.contains_key(&session)
    }

    /// What the sessions whose turn it is have done since they were last looked at. One that is over is
    /// followed no longer.
    pub(super) async fn look(&self, node: &Node) -> Vec<EventReport> {
        let looks = self.turn().into_iter().map(async |(session, before)| {
            let now = see(node, session, before.as_ref()).await;
            (session, before, now)
        });
        let mut events = Vec::new();
        for (session, before, now) in join_all(looks).await {
            let sessions = &mut self.0.lock().sessions;
            let Some(last) = sessions.get_mut(&session) else { continue };
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
                Some(now) => *last = Some(now),
                None => {
                    sessions.remove(&session);
                }
            }
        }
        events
    }

    /// The sessions whose turn it is, each as it was.
    fn turn(&self) -> Vec<(SessionId, Option<SessionDetails>)> {
        let mut tracked = self.0.lock();
        let Tracked { sessions, last } = &mut *tracked;
        let behind = sessions.range((last.map_or(Unbounded, Excluded), Unbounded));
        let next = behind.chain(sessions.iter()).take(LOOKED_AT.min(sessions.len()));
        let next: Vec<_> = next.map(|(&session, before)| (session, before.clone())).collect();
        *last = next.last().map(|&(session, _)| session).or(*last);
        next
    }
}

/// How a session is now. Its node is asked how it is connected only if it was connected since it was last
/// looked at.
async fn see(
    node: &Node,
    session: SessionId,
    before: Option<&SessionDetails>,
) -> Option<SessionDetails> {
    let (_, now) = node.look_at_session(session).await?;
    let now = with_known_connection(now, before);
    match now.session.detached.is_some() || now.session.connection.is_some() {
        true => Some(now),
        false => node.session_details(session).await,
    }
}

/// A session with its connection, if that is known from before: each is of an epoch of its own.
fn with_known_connection(
    mut now: SessionDetails,
    before: Option<&SessionDetails>,
) -> SessionDetails {
    let is_same = |before: &&SessionDetails| {
        (before.epoch, &before.session.node) == (now.epoch, &now.session.node)
    };
    if let Some(before) = before.filter(is_same)
        && now.session.detached.is_none()
    {
        now.session.connection = before.session.connection.clone();
    }
    now
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ConnectionReport;

    fn attached(epoch: u64, transport: Option<&str>) -> SessionDetails {
        let mut details = SessionDetails { epoch, ..SessionDetails::default() };
        details.session.node = "a".to_owned();
        details.session.connection = transport
            .map(|it| ConnectionReport { transport: it.to_owned(), ..ConnectionReport::default() });
        details
    }

    #[test]
    fn how_it_is_connected_is_known_for_as_long_as_it_is() {
        let before = attached(1, Some("websocket"));
        let seen = |now| with_known_connection(now, Some(&before));
        assert_eq!(seen(attached(1, None)), before);
        assert!(steps(Some(&before), Some(&seen(attached(1, None)))).is_empty());
        let back = seen(attached(2, None));
        assert_eq!(steps(Some(&before), Some(&back)), ["attached to a"]);
        let mut gone = attached(1, None);
        gone.session.detached = Some("Lost".to_owned());
        assert_eq!(steps(Some(&before), Some(&seen(gone))), ["detached from a: Lost"]);
    }

    #[test]
    fn many_take_turns() {
        let tracker = Tracker::default();
        let turn = || tracker.turn().into_iter().map(|(id, _)| id.to_bits()).collect::<Vec<_>>();
        assert!(turn().is_empty());
        let add = |numbers: std::ops::RangeInclusive<u128>| {
            numbers.for_each(|number| assert!(tracker.add(SessionId::from_bits(number))));
        };
        add(1..=2);
        assert_eq!((turn(), turn()), (vec![1, 2], vec![1, 2]));
        add(3..=6);
        assert_eq!((turn(), turn()), (vec![3, 4, 5, 6], vec![1, 2, 3, 4]));
        tracker.remove(SessionId::from_bits(4));
        assert_eq!(turn(), [5, 6, 1, 2]);
        add(7..=65);
        assert!(!tracker.add(SessionId::from_bits(66)), "there are 64");
    }
}
