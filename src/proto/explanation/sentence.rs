//! What is said to people.

use super::Outcome;
use crate::{
    id::{MessageId, NodeId},
    proto::{Detachment, DropCause},
};

pub(super) const FORGOTTEN: &str = "what became of the message, which is remembered of the last 65,536 that a \
     node dropped, or whether there was one of this name";
pub(super) const HAD_OR_JOINED: &str =
    "when the session joined: it has the message, was told that it is gone, or joined behind it";
pub(super) const HAD_OR_TOLD: &str =
    "what the session was told: it has the message, or was told that it is gone";
pub(super) const HAD_OR_FILTERED: &str =
    "what filters did: the session has the message, or a filter kept it from it";
pub(super) const HAD_OR_OVER: &str = "what the session was given: its client had the message before the session was over, or had not";
pub(super) const HAD_OR_TAKEN_BACK: &str =
    "what the session was given: its client had the message before it was taken back, or had not";
pub(super) const OWNER_UNKNOWN: &str =
    "what the session's client has: the node that the session belongs to did not say";
pub(super) const NO_SESSION: &str =
    "the session: no node that answered knows it, nor that it was closed in the last ten minutes";
pub(super) const NO_SUCH: &str = "the message: the node that it is named after has not come so far, so there is none of this name";
pub(super) const NO_SUCH_NODE: &str = "the message: no node that answered remembers the node that it is named after, if there was one";
pub(super) const NOT_REMEMBERED: &str =
    "who was in the topic when the message was published: that was before all that is remembered";
pub(super) const ORIGIN_SILENT: &str = "the message: no node that answered has it";

pub(super) const FILTERED: &str = "a filter did not let it pass to the session";
pub(super) const TAKEN_BACK_LATE: &str = "it was taken back after it had been handed to the connection of the \
     session's client, which has not confirmed that it has it";
pub(super) const NOT_TAKEN: &str =
    "it is on the session's node, and the session's connection has not taken it yet";
pub(super) const NOT_THERE: &str = "it has not reached the session's node yet";

/// What an outcome is, where there is no more to say.
pub(super) fn of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Acknowledged => "the session's client has it",
        Outcome::Closed => "the session was over before its client had it",
        Outcome::Delivered => {
            "it was handed to the connection of the session's client, which has not confirmed that it \
             has it"
        }
        Outcome::Dropped(cause) => dropped(cause),
        Outcome::Expired => "it waited for the session's client for too long, and was dropped",
        Outcome::Gap => "it was lost before the session's node heard of it",
        Outcome::InFlight => "it is on its way",
        Outcome::JoinedLater => "the session joined the topic behind the message",
        Outcome::LeftBefore => "the session left the topic before the message",
        Outcome::NeverJoined => "the session was not in the topic",
        Outcome::NotAddressed => "the message was for others of the topic",
        Outcome::Unknown => "that cannot be told",
        Outcome::Withdrawn => "it was taken back before the session's client had it",
    }
}

/// What is on its way to a client that is not there.
pub(super) fn away(why: Detachment) -> String {
    let why = match why {
        Detachment::Left => "it closed its connection",
        Detachment::Lost => "its connection broke, or nothing was heard of it",
        Detachment::NodeDied => "the node died that it was connected to",
        Detachment::NodeLeft => "the node left that it was connected to",
        Detachment::Resumed => "an operator had it come anew",
        Detachment::Slow => "it did not read fast enough and was cut off",
        Detachment::Violation => "it broke a rule and was cut off",
        Detachment::Other => "for a reason that this version does not know",
    };
    format!("it is kept for the session's client, which is away: {why}")
}

/// What died with its node.
pub(super) fn died(message: MessageId) -> String {
    format!("it was lost with node {}: no node that lives has ever had it", message.origin)
}

/// What cannot be told, and who might have.
pub(super) fn unknown(missing: &str, unanswered: &[NodeId]) -> String {
    let silent: Vec<_> = unanswered.iter().map(NodeId::to_string).collect();
    match silent.is_empty() {
        true => format!("what is not known is {missing}"),
        false => format!("what is not known is {missing}; not answered have {}", silent.join(", ")),
    }
}

fn dropped(cause: DropCause) -> &'static str {
    match cause {
        DropCause::TopicMessages => {
            "it was dropped before the session's client had it, as the topic had as many messages as it may"
        }
        DropCause::TopicBytes => {
            "it was dropped before the session's client had it, as the topic had as many bytes as it may"
        }
        DropCause::NodeBytes => {
            "it was dropped before the session's client had it, as the node's topics together had as many \
             bytes as they may"
        }
        DropCause::Withdrawn => of(Outcome::Withdrawn),
        DropCause::Unheard => {
            "it was dropped before the node that dropped it heard of the session, from which it was cut off"
        }
    }
}
