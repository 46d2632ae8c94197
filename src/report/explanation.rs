//! Why a session got a message, or did not.

use serde::{Deserialize, Serialize};

use crate::proto::{DropCause, Ending, Explanation, Kept, Outcome, Step, Testimony, What};

/// Why a session got a message, or did not, by what all nodes know.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ExplanationReport {
    /// The message's id.
    pub message: String,
    /// The session's id.
    pub session: String,
    /// Where the message was published, if anybody knows.
    pub topic: Option<String>,
    /// What came of it: `acknowledged`, `delivered`, `in_flight`, `never_joined`, `joined_later`,
    /// `left_before`, `not_addressed`, `closed`, `withdrawn`, `dropped`, `expired`, `gap`, or `unknown`.
    pub verdict: String,
    /// At which limit it was dropped, if it was: `topic_messages`, `topic_bytes`, `node_bytes`, or
    /// `unheard`.
    pub cause: Option<String>,
    /// The same for people, and why; of what is unknown, what is missing to know it.
    pub sentence: String,
    /// What happened, as it is remembered, by the clocks of the nodes.
    pub steps: Vec<StepReport>,
    /// What became of the message on each node that answered.
    pub nodes: Vec<KeptReport>,
    /// The ids of the nodes that did not answer.
    pub unanswered: Vec<String>,
}

/// Something that happened on the way of a message to a session.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct StepReport {
    /// When.
    pub at_ms: u64,
    /// The id of the node where.
    pub node: String,
    /// What: `accepted`, `stored`, `ended`, `attached`, `detached`, `claimed`, `adopted`, `joined`, `left`, `gap`,
    /// `given`, `withheld`, `confirmed`, or `closed`.
    pub what: String,
    /// The rest, for people.
    pub detail: String,
}

/// What became of a message on a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct KeptReport {
    /// The node's id.
    pub node: String,
    /// Whether it keeps the message: `kept`, `acknowledged`, `expired`, `dropped`, `unheard`, or
    /// `forgotten`.
    pub fate: String,
    /// At which limit it was dropped, if it was.
    pub cause: Option<String>,
    /// When it stored the message.
    pub stored_ms: Option<u64>,
}

impl ExplanationReport {
    pub(crate) fn of(explanation: &Explanation, testimonies: &[Testimony]) -> Self {
        Self {
            message: explanation.message.to_string(),
            session: explanation.session.to_string(),
            topic: explanation.topic.as_ref().map(ToString::to_string),
            verdict: explanation.outcome.name().to_owned(),
            cause: match explanation.outcome {
                Outcome::Dropped(cause) => Some(name_of(cause)),
                _ => None,
            },
            sentence: explanation.sentence.clone(),
            steps: explanation.steps.iter().map(StepReport::of).collect(),
            nodes: testimonies.iter().map(KeptReport::of).collect(),
            unanswered: explanation.unanswered.iter().map(ToString::to_string).collect(),
        }
    }
}

impl KeptReport {
    fn of(testimony: &Testimony) -> Self {
        let (fate, cause) = match testimony.kept {
            Kept::Still => ("kept", None),
            Kept::Unheard => ("unheard", None),
            Kept::Forgotten => ("forgotten", None),
            Kept::Ended(ending) => end_of(ending),
        };
        Self {
            node: testimony.node.to_string(),
            fate: fate.to_owned(),
            cause,
            stored_ms: testimony.stored_ms,
        }
    }
}

impl StepReport {
    fn of(step: &Step) -> Self {
        let (what, detail) = told(step.what);
        Self { at_ms: step.at_ms, node: step.node.to_string(), what: what.to_owned(), detail }
    }
}

/// How a message ended, and at which limit if it was dropped at one.
pub(crate) fn end_of(ending: Ending) -> (&'static str, Option<String>) {
    match ending {
        Ending::Acknowledged => ("acknowledged", None),
        Ending::Expired => ("expired", None),
        Ending::Dropped(cause) => ("dropped", Some(name_of(cause))),
    }
}

/// The limit's name, as programs know it.
pub(crate) fn name_of(cause: DropCause) -> String {
    let name = match cause {
        DropCause::TopicMessages => "topic_messages",
        DropCause::TopicBytes => "topic_bytes",
        DropCause::NodeBytes => "node_bytes",
        DropCause::Unheard => "unheard",
        DropCause::Withdrawn => "withdrawn",
    };
    name.to_owned()
}

fn told(what: What) -> (&'static str, String) {
    let say = |text: &str| text.to_owned();
    match what {
        What::Accepted => {
            ("accepted", say("the node stored the message, which was published there"))
        }
        What::Stored => ("stored", say("the node stored the message")),
        What::Ended(ending) => ("ended", format!("the node dropped the message: {}", end(ending))),
        What::Attached { from: Some(node), .. } => {
            ("attached", format!("the client was back, from node {node}"))
        }
        What::Attached { resumed: true, .. } => ("attached", say("the client was back")),
        What::Attached { resumed: false, .. } => ("attached", say("the session began")),
        What::Adopted { from } => {
            ("adopted", format!("the node looks after the session, as node {from} is dead"))
        }
        What::Detached(why) => ("detached", format!("the client was gone: {why:?}")),
        What::Claimed { by } => ("claimed", format!("the session went over to node {by}")),
        What::Joined { behind: Some(true) } => ("joined", say("it joined, behind the message")),
        What::Joined { behind: Some(false) } => ("joined", say("it joined, before the message")),
        What::Joined { behind: None } => ("joined", say("it was heard that it had joined")),
        What::Left { before: true } => ("left", say("it left, before the message")),
        What::Left { before: false } => ("left", say("it left, behind the message")),
        What::Gap { over: true } => ("gap", say("the client was told that the message is gone")),
        What::Gap { over: false } => ("gap", say("the client was told that others are gone")),
        What::Withheld => ("withheld", say("a filter did not let the message pass")),
        What::Given => ("given", say("the message was handed to the client's connection")),
        What::Confirmed => ("confirmed", say("the client confirmed that it has the message")),
        What::Closed(reason) => ("closed", format!("the session was closed: {reason:?}")),
    }
}

fn end(ending: Ending) -> String {
    match ending {
        Ending::Acknowledged => "all who were to get it have it, or are gone".to_owned(),
        Ending::Expired => "it had waited for too long".to_owned(),
        Ending::Dropped(cause) => format!("at a limit, {}", name_of(cause)),
    }
}
