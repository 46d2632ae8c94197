//! A session, as every node of the cluster knows it.
//!
//! ```text
//!              claim (epoch 1)                  detach
//!   unknown ------------------> Attached ---------------------> Detached
//!                                |  ^  ^                         |  |  |
//!                                |  |  |   claim (epoch + 1)     |  |  |
//!                                |  |  +-------------------------+  |  |
//!                                |  |                               |  |
//!                                |  +- claim (epoch + 1) elsewhere  |  |
//!                                |                                  |  |
//!                                |  owner died: one survivor claims |  |
//!                                +-> it, detached (epoch + 1) ------+  |
//!                                |                                     |
//!                                |  close                              | close, or not back in time
//!                                +-------------> closed <--------------+
//! ```
//!
//! A session belongs to the node that claimed it last. Of two claims the higher [`Stamp`] wins, on
//! every node, in whatever order they are heard of; whoever learns that it lost closes its
//! attachment. A closed session is no more: what is heard of it later is ignored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Detachment, Holder, Position};
use crate::id::{Epoch, MessageId, NodeId, Seq, SessionId, TopicName};

/// When something was decided about a session: the later stamp wins, wherever it is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct Stamp {
    /// The epoch of the session that it was decided in.
    pub epoch: Epoch,
    /// The node that decided it.
    pub node: NodeId,
    /// The operation of that node's journal which says so.
    pub seq: Seq,
}

impl Stamp {
    /// The stamp of what `node` decided in `epoch` as its operation `seq`.
    pub const fn new(epoch: Epoch, node: NodeId, seq: Seq) -> Self {
        Self { epoch, node, seq }
    }

    /// Whether who has seen `position` has heard of this.
    pub fn is_known_at(self, position: &Position) -> bool {
        position.covers(MessageId::new(self.node, self.seq))
    }
}

/// Whether a session's client is there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "u8", into = "u8")]
#[non_exhaustive]
pub enum Presence {
    /// It has an attachment on the node that owns it.
    Attached,
    /// It has none, for this reason, and is closed if it does not come back in time.
    Detached(Detachment),
}

impl From<u8> for Presence {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Attached,
            why => Self::Detached(why.into()),
        }
    }
}

impl From<Presence> for u8 {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Attached => 0,
            Presence::Detached(why) => why.into(),
        }
    }
}

/// A session without its memberships, which lie with the topics.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Who owns it, and since when.
    pub claim: Stamp,
    /// Whether its client is there.
    pub presence: Presence,
    /// Whether the handler has had its first word.
    pub ready: bool,
    /// The path its client asked for, by which its handler is found.
    pub path: Arc<str>,
    /// Who may use it.
    pub holder: Holder,
}

/// That a session reads a topic, and how far it has read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Membership {
    /// When it joined or left last.
    pub stamp: Stamp,
    /// The last claim that carried this: who has heard of that knows this too, even where the
    /// operation that joined or left died with its node.
    pub carried: Option<Stamp>,
    /// Where it stops, if it has left.
    pub until: Option<Position>,
    /// What its client has, beginning with where it joined.
    pub acknowledged: Position,
}

impl Membership {
    /// A membership that begins at `from`.
    pub fn new(stamp: Stamp, from: Position) -> Self {
        Self { stamp, carried: None, until: None, acknowledged: from }
    }

    /// Whether who has seen `position` knows of this.
    pub fn is_known_at(&self, position: &Position) -> bool {
        let is_known = |stamp: Stamp| stamp.is_known_at(position);
        is_known(self.stamp) || self.carried.is_some_and(is_known)
    }

    /// Learns what another node knows of the same membership.
    pub fn merge(&mut self, other: Self) {
        if other.stamp == self.stamp {
            self.carried = self.carried.max(other.carried);
        } else if other.stamp > self.stamp {
            (self.stamp, self.carried, self.until) = (other.stamp, other.carried, other.until);
        }
        self.acknowledged.merge(&other.acknowledged);
    }
}

/// All that is known of a session, as a claim or a snapshot carries it to other nodes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SessionState {
    /// The session.
    pub session: Session,
    /// The topics that it has joined or left.
    pub memberships: Vec<(TopicName, Membership)>,
    /// The topics that it was in and has had all of, and when it left them.
    pub departed: Vec<(TopicName, Stamp)>,
}

impl SessionState {
    /// The most topics that a session may join.
    pub const MAX_TOPICS: usize = 128;

    /// How much memory it takes beside itself, in bytes.
    pub(super) fn cost(&self) -> usize {
        let joined = self.memberships.iter().map(|(topic, member)| {
            let until = member.until.as_ref().map_or(0, Position::cost);
            topic.as_str().len() + size_of_val(member) + member.acknowledged.cost() + until
        });
        let left = self.departed.iter().map(|it| it.0.as_str().len() + size_of_val(it));
        self.session.path.len() + joined.chain(left).sum::<usize>()
    }
}

/// That a session is over. Its name is never used again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Closed {
    /// The node that is to tell its handler.
    pub owner: NodeId,
    /// Why.
    pub reason: CloseReason,
    /// The operation that closed it.
    pub by: MessageId,
}

/// Why a session is over.
///
/// A connection that is over need not end its session, and so is no reason: one of which a newer one of
/// the same session takes the place is closed by [`CloseCode::Superseded`](super::CloseCode), and the
/// session goes on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "u8", into = "u8")]
#[non_exhaustive]
pub enum CloseReason {
    /// The client was gone, for this reason, and did not come back in time.
    Abandoned(Detachment),
    /// The application closed it, or refused it: by `Session::close`, or by
    /// an error of its handler.
    Application,
    /// The client said that it is done.
    Client,
    /// A reason that this version does not know.
    Other,
}

impl From<u8> for CloseReason {
    fn from(code: u8) -> Self {
        match code {
            2 => Self::Application,
            3 => Self::Client,
            17..=31 => Self::Abandoned((code - ABANDONED).into()),
            _ => Self::Other,
        }
    }
}

impl From<CloseReason> for u8 {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Other => 0,
            CloseReason::Application => 2,
            CloseReason::Client => 3,
            CloseReason::Abandoned(why) => ABANDONED + Self::from(why),
        }
    }
}

/// What is added to why a client was gone, if it did not come back in time.
const ABANDONED: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_was_written() {
        for code in 0..=u8::MAX {
            let reason = CloseReason::from(code);
            assert_eq!(CloseReason::from(u8::from(reason)), reason, "{code}");
            let presence = Presence::from(code);
            assert_eq!(Presence::from(u8::from(presence)), presence, "{code}");
            if let Presence::Detached(why) = presence {
                let abandoned = CloseReason::Abandoned(why);
                assert_eq!(CloseReason::from(u8::from(abandoned)), abandoned, "{code}");
            }
        }
    }
}
