//! Sessions, a page at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use super::sought::{InvalidSessionFilter, Sought};
use crate::{
    connection::{ClientRequest, Connection},
    id::{NodeId, SessionId},
    node::{
        Node,
        inspect::since_epoch_ms,
        question::{MAX_ASKED_SESSIONS, Question},
    },
    proto::{Core, Presence, Session},
    report::{
        ConnectionReport, MembershipReport, Page, RequestReport, SessionDetails, SessionFilter,
        SessionReport,
    },
};

/// How many sessions are looked at before the node goes on with its work.
const SLICE: usize = 256;

/// How many messages, if that is reached before: they take about a millisecond.
const MAX_COMPARED: usize = 100_000;

/// How many sessions are looked at for one page, and how many if their nodes must be asked about them.
const MAX_LOOKED_AT: usize = 200_000;
const MAX_ASKED_ABOUT: usize = 20_000;

/// How many of a topic's messages a session's are counted among, in a list, and if it is looked at
/// alone.
const PENDING_WITHIN: usize = 128;
const PENDING_WITHIN_ALONE: usize = 1_024;

impl Node {
    /// The sessions that `filter` asks for, behind `after`, by id: `limit` of them at most, or as
    /// many as are among the next 200,000 of all, or 20,000 if it asks for a transport. How they are
    /// connected is asked of their nodes.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionFilter`] if no session can be like that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn session_reports(
        &self,
        filter: &SessionFilter,
        after: Option<SessionId>,
        limit: NonZeroUsize,
    ) -> Result<Page<SessionReport>, InvalidSessionFilter> {
        let sought = Sought::new(filter)?;
        let limit = limit.get().min(MAX_ASKED_SESSIONS);
        let mut search = Search { after, looked_at: 0, is_over: false };
        let (mut items, mut unanswered) = (Vec::new(), BTreeSet::new());
        while items.len() < limit && search.goes_on(&sought) {
            let found = self.find_sessions(&sought, &mut search, limit).await;
            let (connections, silent) = self.connections_of(&found).await;
            unanswered.extend(silent);
            let found = found.into_iter().map(|(_, report)| SessionReport {
                connection: connections.get(&report.id).cloned(),
                ..report
            });
            items.extend(found.filter(|report| sought.admits_connection(report)));
        }
        let next = match items.get(limit - 1).filter(|_| items.len() > limit) {
            Some(last) => Some(last.id.clone()),
            None => search.after.filter(|_| !search.is_over).map(|id| id.to_string()),
        };
        items.truncate(limit);
        let total = self.inner.hub.with(|core, _| core.replica().session_count());
        let unanswered = unanswered.into_iter().collect();
        Ok(Page { items, next, total: sought.is_all.then_some(total), unanswered })
    }

    /// The next sessions that are sought, however they are connected: `limit` of them at most, or
    /// more if not all of them may be.
    async fn find_sessions(
        &self,
        sought: &Sought<'_>,
        search: &mut Search,
        limit: usize,
    ) -> Vec<(NodeId, SessionReport)> {
        let limit = if sought.asked.transport.is_some() { MAX_ASKED_SESSIONS } else { limit };
        let mut found = Vec::new();
        while found.len() < limit && search.goes_on(sought) {
            let look = |core: &Core| {
                let mut compared = 0;
                for session in core.sessions_after(search.after).take(SLICE) {
                    if found.len() == limit || compared >= MAX_COMPARED {
                        return;
                    }
                    search.looked_at += 1;
                    search.after = Some(session.id);
                    if sought.admits(core, session) {
                        found.push((session.claim.node, report(core, session)));
                        compared += to_compare(core, session.id);
                    }
                }
                search.is_over = core.sessions_after(search.after).next().is_none();
            };
            self.in_turn(look).await;
        }
        found
    }

    /// All that is known of a session; `None` if there is none of that id.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn session_details(&self, id: SessionId) -> Option<SessionDetails> {
        let (node, mut details) = self.look_at_session(id).await?;
        let (mut connections, _) = self.connections_of(&[(node, details.session.clone())]).await;
        details.session.connection = connections.remove(&details.session.id);
        if details.session.connection.is_some() {
            let asked = Question::Request(details.session.id.clone());
            details.request = self.ask(node, &asked).await.ok().flatten();
        }
        Some(details)
    }

    /// What every node knows of a session by itself: all but how it is connected, and what its client
    /// asked with. And the node that it belongs to.
    pub(crate) async fn look_at_session(&self, id: SessionId) -> Option<(NodeId, SessionDetails)> {
        let look = |core: &Core| {
            let session = core.replica().session(id)?;
            Some((session.claim.node, details(core, session)))
        };
        self.in_turn(look).await
    }

    /// How sessions are connected, those of them that are connected to this node.
    pub(in crate::node) fn connections(
        &self,
        sessions: &[String],
    ) -> Vec<(String, ConnectionReport)> {
        let asked = sessions.iter().take(MAX_ASKED_SESSIONS);
        let found = asked.filter_map(|id| {
            let session = id.parse().ok()?;
            let Connection { transport, evidence, .. } = self.inner.hub.connection_of(session)?;
            let (transport, evidence) = (transport.name().to_owned(), evidence.name().to_owned());
            let report = ConnectionReport { transport, evidence, ..ConnectionReport::default() };
            let report = match self.inner.hub.request_of(session) {
                Some(request) => asked_with(&request, report),
                None => report,
            };
            Some((id.clone(), report))
        });
        found.collect()
    }

    /// What a session's client asked with, if it is connected to this node.
    pub(in crate::node) fn request(&self, session: &str) -> Option<RequestReport> {
        let request = self.inner.hub.request_of(session.parse().ok()?)?;
        let headers = request.headers();
        Some(RequestReport {
            query: request.query().to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }

    /// How sessions are connected, as their nodes say, and which nodes do not answer.
    async fn connections_of(
        &self,
        sessions: &[(NodeId, SessionReport)],
    ) -> (BTreeMap<String, ConnectionReport>, Vec<String>) {
        let mut by_node = BTreeMap::<NodeId, Vec<String>>::new();
        for (node, report) in sessions.iter().filter(|(_, report)| report.detached.is_none()) {
            by_node.entry(*node).or_default().push(report.id.clone());
        }
        let asked = by_node.into_iter().map(async |(node, sessions)| {
            let question = Question::Connections(sessions);
            (node, self.ask::<Vec<(String, ConnectionReport)>>(node, &question).await)
        });
        let (mut connections, mut unanswered) = (BTreeMap::new(), Vec::new());
        for (node, answer) in futures_util::future::join_all(asked).await {
            match answer {
                Ok(answer) => connections.extend(answer),
                Err(_) => unanswered.push(node.to_string()),
            }
        }
        (connections, unanswered)
    }
}

/// How a client is connected that asked with this.
fn asked_with(request: &ClientRequest, report: ConnectionReport) -> ConnectionReport {
    ConnectionReport {
        since_ms: Some(since_epoch_ms(request.since())),
        address: request.address().map(|address| address.to_string()),
        user_agent: request.user_agent().map(str::to_owned),
        ..report
    }
}

/// How far sessions have been looked at.
struct Search {
    after: Option<SessionId>,
    looked_at: usize,
    is_over: bool,
}

impl Search {
    fn goes_on(&self, sought: &Sought<'_>) -> bool {
        let asks = sought.asked.transport.is_some();
        let most = if asks { MAX_ASKED_ABOUT } else { MAX_LOOKED_AT };
        !self.is_over && self.looked_at < most
    }
}

pub(super) fn state_of(session: &Session) -> &'static str {
    match session.presence {
        Presence::Attached => "attached",
        Presence::Detached(_) => "detached",
    }
}

/// How many messages a report on a session is made of.
fn to_compare(core: &Core, session: SessionId) -> usize {
    let topics = core.replica().topics();
    let kept = core.replica().topics_of(session).iter().map(|&key| topics.get(key).log.len());
    kept.map(|kept| kept.min(PENDING_WITHIN)).sum()
}

fn report(core: &Core, session: &Session) -> SessionReport {
    let topics = core.replica().topics_of(session.id);
    let pending = topics.iter().map(|&topic| core.pending_in(topic, session.id, PENDING_WITHIN));
    SessionReport {
        id: session.id.to_string(),
        path: session.path.to_string(),
        node: session.claim.node.to_string(),
        state: state_of(session).to_owned(),
        detached: match session.presence {
            Presence::Attached => None,
            Presence::Detached(why) => Some(format!("{why:?}")),
        },
        connection: None,
        principal: session.holder.principal.as_ref().map(|it| it.as_str().to_owned()),
        topics: topics.len(),
        pending: pending.sum(),
    }
}

fn details(core: &Core, session: &Session) -> SessionDetails {
    let replica = core.replica();
    let memberships = replica.topics_of(session.id).iter().filter_map(|&key| {
        let topic = replica.topics().get(key);
        let member = topic.members.get(&session.id)?;
        Some(MembershipReport {
            topic: topic.name.as_str().to_owned(),
            position: member.acknowledged.token(),
            pending: core.pending_in(key, session.id, PENDING_WITHIN_ALONE),
            left: member.until.is_some(),
        })
    });
    SessionDetails {
        session: report(core, session),
        epoch: session.claim.epoch.get(),
        ready: session.ready,
        memberships: memberships.collect(),
        open_pushes: replica.inbox(session.id).map_or(0, |inbox| inbox.open().count()),
        request: None,
        tracked: false,
    }
}
