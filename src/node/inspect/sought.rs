//! Which sessions are asked for.

use thiserror::Error;

use super::sessions::state_of;
use crate::{
    connection::Transport,
    id::{NodeId, TopicName},
    proto::{Core, Presence, Session},
    report::{SessionFilter, SessionReport},
};

/// A [`SessionFilter`], read once.
pub(super) struct Sought<'a> {
    pub(super) asked: &'a SessionFilter,
    /// Whether all are asked for.
    pub(super) is_all: bool,
    topic: Option<TopicName>,
    node: Option<NodeId>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(asked: &'a SessionFilter) -> Result<Self, InvalidSessionFilter> {
        let invalid = |name, why: String| InvalidSessionFilter { name, why };
        let topic = asked.topic.as_deref().map(TopicName::parse).transpose();
        let topic = topic.map_err(|error| invalid("topic", error.to_string()))?;
        let node = asked.node.as_deref().map(str::parse).transpose();
        let node = node.map_err(|_| invalid("node", "it has 16 hexadecimal digits".to_owned()))?;
        let one_of = |name, value: Option<&str>, names: &[&str]| match value {
            Some(value) if !names.contains(&value) => {
                Err(invalid(name, format!("it is one of {}", names.join(", "))))
            }
            _ => Ok(()),
        };
        one_of("state", asked.state.as_deref(), &["attached", "detached"])?;
        let transports = Transport::ALL.map(Transport::name);
        one_of("transport", asked.transport.as_deref(), &transports)?;
        Ok(Self { asked, is_all: *asked == SessionFilter::default(), topic, node })
    }

    /// Whether a session is among them, however it is connected.
    pub(super) fn admits(&self, core: &Core, session: &Session) -> bool {
        let SessionFilter { path, state, transport, principal, prefix, .. } = self.asked;
        let is_in = |topic: &TopicName| {
            let key = core.replica().topics().find(topic);
            key.is_some_and(|key| core.replica().topics_of(session.id).contains(&key))
        };
        let is_of = |user: &String| {
            let principal = session.holder.principal.as_ref();
            principal.is_some_and(|principal| principal.as_str() == user)
        };
        path.as_ref().is_none_or(|path| *session.path == **path)
            && principal.as_ref().is_none_or(is_of)
            && state.as_ref().is_none_or(|state| state_of(session) == state)
            && self.node.is_none_or(|node| session.claim.node == node)
            && prefix.as_ref().is_none_or(|it| session.id.to_string().starts_with(it.as_str()))
            && self.topic.as_ref().is_none_or(is_in)
            && (transport.is_none() || session.presence == Presence::Attached)
    }

    /// Whether one of them is connected as is asked for.
    pub(super) fn admits_connection(&self, report: &SessionReport) -> bool {
        let transport = report.connection.as_ref().map(|connection| &connection.transport);
        self.asked.transport.as_ref().is_none_or(|asked| transport == Some(asked))
    }
}

/// No session can be like what a [`SessionFilter`] asks for. Another value helps.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("no session has that for its {name}: {why}")]
#[non_exhaustive]
pub struct InvalidSessionFilter {
    /// What of it.
    pub name: &'static str,
    /// What it can be.
    pub why: String,
}
