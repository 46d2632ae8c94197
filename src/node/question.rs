//! What a node asks its peers, and what it answers them.

use std::{num::NonZeroU32, sync::Weak};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Inner, Node, change::Change};
use crate::{
    cluster::{ASK_PATIENCE, Answer, Answerer, AskError},
    id::{MessageId, NodeId, SessionId, TopicName},
};

/// What a node is asked that only it knows, or can do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// All that it says of itself: a [`NodeReport`](crate::report::NodeReport).
    Node,
    /// How its sessions among these are connected: pairs of a session's id and a
    /// [`ConnectionReport`](crate::report::ConnectionReport).
    Connections(Vec<String>),
    /// What a session's client asked with that is connected there: a
    /// [`RequestReport`](crate::report::RequestReport), or null.
    Request(String),
    /// To change something for itself: nothing.
    Change(Change),
    /// To count statistics from now on, or no longer: nothing.
    CountStatistics(bool),
    /// What became of a message there: a [`FateReport`](crate::report::FateReport).
    Fate(MessageId),
    /// Whether a session got a message, and why: a [`Testimony`](crate::proto::Testimony).
    Testify {
        /// Which message.
        message: MessageId,
        /// Which session.
        session: SessionId,
        /// Where the message was published, if who asks knows.
        topic: Option<TopicName>,
    },
    /// What operators did there: many [`AuditEntry`](crate::report::AuditEntry).
    Audit,
    /// To write these log lines: nothing.
    LogFilter(String),
    /// To look at its files again: nothing.
    Reload,
    /// To drain itself: nothing, and it does so after it has answered.
    Drain {
        /// How many clients it sends elsewhere each second, if that is said.
        per_second: Option<NonZeroU32>,
    },
}

/// How many sessions may be asked for at once.
pub(super) const MAX_ASKED_SESSIONS: usize = 1_000;

/// What a node answers.
type Answered = Result<Value, String>;

impl Node {
    /// Asks a node, this one or a peer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing back: what the node was asked to do may be done.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        node: NodeId,
        question: &Question,
    ) -> Result<T, AskError> {
        let answered: Answered = if node == self.id() {
            let answer = tokio::time::timeout(ASK_PATIENCE, self.answer(question.clone()));
            answer.await.map_err(|_| AskError::Late)?
        } else {
            let question = serde_json::to_vec(question).map_err(|_| AskError::Malformed)?;
            let answer = self.inner.mesh.ask(node, question.into()).await?;
            serde_json::from_slice(&answer).map_err(|_| AskError::Malformed)?
        };
        let value = answered.map_err(AskError::Refused)?;
        serde_json::from_value(value).map_err(|_| AskError::Malformed)
    }

    /// Asks all nodes at once. Each is named with what it answered, by id.
    pub(crate) async fn ask_all<T: DeserializeOwned>(
        &self,
        question: &Question,
    ) -> Vec<(NodeId, Result<T, AskError>)> {
        let nodes: Vec<_> = self.members().current().members().iter().map(|it| it.id).collect();
        let asked = nodes.into_iter().map(async |node| (node, self.ask(node, question).await));
        let mut answers = futures_util::future::join_all(asked).await;
        answers.sort_by_key(|&(node, _)| node);
        answers
    }

    async fn answer(&self, question: Question) -> Answered {
        match question {
            Question::Node => value(&self.report()),
            Question::Connections(sessions) => value(&self.connections(&sessions)),
            Question::Request(session) => value(&self.request(&session)),
            Question::Change(change) => done(self.make(change)),
            Question::CountStatistics(on) => {
                self.count_statistics(on);
                value(&())
            }
            Question::Fate(message) => value(&self.fate_report(message).await),
            Question::Testify { message, session, topic } => {
                value(&self.testify(message, session, topic.as_ref()).await)
            }
            Question::Audit => value(&self.inner.audit.entries()),
            Question::LogFilter(filter) => done(self.set_log_filter(&filter)),
            Question::Reload => done(self.reload()),
            Question::Drain { per_second } => {
                self.drain_later(per_second);
                value(&())
            }
        }
    }
}

fn done(result: Result<(), String>) -> Answered {
    result.and_then(|()| value(&()))
}

fn value(answer: &impl Serialize) -> Answered {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

/// Who answers a node's peers, for as long as there is the node.
pub(super) struct Desk(pub(super) Weak<Inner>);

impl Answerer for Desk {
    fn answer(&self, _from: NodeId, question: Bytes) -> Answer<'_> {
        Box::pin(async move {
            let answered: Answered = match (self.0.upgrade(), serde_json::from_slice(&question)) {
                (Some(inner), Ok(question)) => Node { inner }.answer(question).await,
                (None, _) => Err("it has ended".to_owned()),
                (_, Err(_)) => Err("it does not know what it was asked".to_owned()),
            };
            serde_json::to_vec(&answered).unwrap_or_default().into()
        })
    }
}
