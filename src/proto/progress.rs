//! What nodes tell each other of how far their sessions have read.
//!
//! A message to 10,000 sessions costs one report for each node, not 10,000 acknowledgements: a
//! report names one position that nearly all of a node's sessions in a topic have acknowledged, and
//! the few that are behind it one by one.
//!
//! A report may be lost, repeated or overtaken, because it says the whole of what it says, counts
//! only for sessions that its sender knew when it made it, and is merged by taking the most.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Membership, Position, Session};
use crate::id::{NodeId, SessionId, TopicName};

/// How far one node's sessions have read one topic.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// All that the sender knew when it made the report: it speaks of the sessions that it owned
    /// then, and of no others.
    pub as_of: Position,
    /// The topic.
    pub topic: TopicName,
    /// What all have acknowledged but those in `behind`.
    pub common: Position,
    /// Those that are behind `common`, and how far each is.
    #[serde(deserialize_with = "at_most_max_behind")]
    pub behind: Vec<(SessionId, Position)>,
}

impl Report {
    /// The most sessions that a report names one by one. Where more are behind, `common` is as low
    /// as it must be for the others.
    pub const MAX_BEHIND: usize = 64;

    /// What a node that has seen `as_of` says of its sessions in `topic`; nothing if it has none.
    pub fn of<'a>(
        as_of: Position,
        topic: TopicName,
        acknowledged: impl Iterator<Item = (SessionId, &'a Position)>,
    ) -> Option<Self> {
        let mut sessions: Vec<_> = acknowledged.collect();
        let few = Self::MAX_BEHIND.min(sessions.len().checked_sub(1)?);
        if few > 0 {
            sessions.select_nth_unstable_by_key(few, |(_, position)| position.total());
        }
        let (last, most) = sessions.split_at(few);
        let mut common = most[0].1.clone();
        most[1..].iter().for_each(|(_, position)| common.meet(position));
        let behind = last
            .iter()
            .filter(|(_, position)| !position.includes(&common))
            .map(|&(session, position)| (session, position.clone()))
            .collect();
        Some(Self { as_of, topic, common, behind })
    }

    /// How far `session` has read, if this report, which `sender` made, speaks of it.
    pub fn position_of(
        &self,
        sender: NodeId,
        session: &Session,
        membership: &Membership,
    ) -> Option<&Position> {
        let is_meant = session.claim.node == sender
            && session.claim.is_known_at(&self.as_of)
            && membership.is_known_at(&self.as_of);
        is_meant.then(|| {
            let named = self.behind.iter().find(|(behind, _)| *behind == session.id);
            named.map_or(&self.common, |(_, position)| position)
        })
    }
}

fn at_most_max_behind<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(SessionId, Position)>, D::Error> {
    let behind = Vec::deserialize(deserializer)?;
    match behind.len() <= Report::MAX_BEHIND {
        true => Ok(behind),
        false => Err(de::Error::custom("too many sessions behind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{Epoch, Seq},
        proto::{Holder, Presence, Stamp},
    };

    fn upto(seq: u64) -> Position {
        [(NodeId::from_bits(1), Seq::new(seq))].into_iter().collect()
    }

    fn report(acknowledged: &[u64]) -> Option<Report> {
        let positions: Vec<_> = acknowledged.iter().map(|&seq| upto(seq)).collect();
        let sessions = (0..).map(SessionId::from_bits).zip(&positions);
        Report::of(upto(100), TopicName::parse("/a").unwrap(), sessions)
    }

    #[test]
    fn all_but_a_few_have_what_is_common() {
        assert_eq!(report(&[]), None);
        let alone = report(&[7]).unwrap();
        assert_eq!((alone.common, alone.behind), (upto(7), vec![]));

        let mut many = vec![9; 1_000];
        many[3] = 2;
        let report_of_many = report(&many).unwrap();
        assert_eq!(report_of_many.common, upto(9));
        assert_eq!(report_of_many.behind, [(SessionId::from_bits(3), upto(2))]);
    }

    #[test]
    fn a_report_promises_too_little_rather_than_too_much() {
        let acknowledged: Vec<_> = (0..100).collect();
        let report = report(&acknowledged).unwrap();
        assert_eq!(report.behind.len(), Report::MAX_BEHIND);
        assert_eq!(report.common, upto(Report::MAX_BEHIND as u64));
    }

    #[test]
    fn a_report_says_nothing_of_sessions_its_sender_did_not_know() {
        let sender = NodeId::from_bits(1);
        let report = report(&[50]).unwrap();
        let at = |node, seq| Stamp::new(Epoch::FIRST, node, Seq::new(seq));
        let session = |claim| Session {
            id: SessionId::from_bits(0),
            claim,
            presence: Presence::Attached,
            ready: true,
            path: "/a".into(),
            holder: Holder::default(),
        };
        let joined = |stamp| Membership::new(stamp, Position::new());
        let owned = session(at(sender, 3));
        let told = |session: &_, joined: &_| report.position_of(sender, session, joined).is_some();
        assert!(told(&owned, &joined(at(sender, 4))));
        assert!(!told(&session(at(sender, 100)), &joined(at(sender, 4))), "claimed later");
        assert!(!told(&owned, &joined(at(sender, 100))), "joined later");
        let elsewhere = NodeId::from_bits(2);
        assert!(!told(&owned, &joined(at(elsewhere, 0))), "joined where the sender had not heard");
        assert!(!told(&session(at(elsewhere, 3)), &joined(at(sender, 4))), "another's session");
    }
}
