//! What happens to the nodes of a cluster.

use std::fmt;

use super::{Member, MemberState, Roster};

/// What happened to a node of the cluster, as one of them sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// It is there from now on.
    Joined(Member),
    /// It has begun to leave, and sends its clients to others.
    Draining(Member),
    /// It has left, as it said.
    Left(Member),
    /// Nothing is heard of it any more. It may be on the other side of a partition: then it joins
    /// again.
    Died(Member),
    /// It was started again at the address where it was, as another node, which joins at once.
    Replaced(Member),
    /// Too many events were waiting, so this many are lost: look at
    /// [`Node::members`](crate::Node::members).
    Missed(u64),
}

/// Why a node is not there any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Departure {
    /// It said so.
    Left,
    /// Nothing is heard of it.
    Died,
    /// Another is where it was.
    Replaced,
}

impl MemberEvent {
    /// What has happened between two rosters; who is gone is gone for the reason that `departure` says.
    pub fn between(
        before: &Roster,
        after: &Roster,
        departure: impl Fn(&Member) -> Departure,
    ) -> Vec<Self> {
        let gone = before.members().iter().filter(|member| after.get(member.id).is_none());
        let gone = gone.map(|member| {
            let event = match departure(member) {
                Departure::Left => Self::Left,
                Departure::Died => Self::Died,
                Departure::Replaced => Self::Replaced,
            };
            event(member.clone())
        });
        let there = after.members().iter().flat_map(|member| {
            let known = before.get(member.id);
            let joined = known.is_none().then(|| Self::Joined(member.clone()));
            let was_draining = known.is_some_and(|it| it.state() == MemberState::Draining);
            let drains = member.state() == MemberState::Draining && !was_draining;
            joined.into_iter().chain(drains.then(|| Self::Draining(member.clone())))
        });
        gone.chain(there).collect()
    }
}

impl fmt::Display for MemberEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (member, what) = match self {
            Self::Joined(member) => (member, "joined"),
            Self::Draining(member) => (member, "drains"),
            Self::Left(member) => (member, "left"),
            Self::Died(member) => (member, "died"),
            Self::Replaced(member) => (member, "was replaced"),
            Self::Missed(count) => return write!(f, "{count} events of members were missed"),
        };
        write!(f, "Member {} {} {what}", member.addr, member.id.short())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{id::NodeId, proto::Announcement};

    fn member(id: u64, state: MemberState) -> Member {
        let announcement = Announcement { state, ..Announcement::default() };
        let addr = ([127, 0, 0, 1], 5700 + u16::try_from(id).unwrap()).into();
        Member::new(NodeId::from_bits(id), addr, Some(Arc::new(announcement)))
    }

    fn roster(others: &[(u64, MemberState)]) -> Roster {
        let others = others.iter().map(|&(id, state)| member(id, state));
        Roster::new(member(1, MemberState::Active), others)
    }

    fn departure(member: &Member) -> Departure {
        match member.id.to_bits() {
            2 => Departure::Left,
            3 => Departure::Replaced,
            _ => Departure::Died,
        }
    }

    #[test]
    fn whatever_changes_between_two_rosters_is_told_once() {
        use MemberState::{Active, Draining};
        let before = roster(&[(2, Draining), (3, Active), (4, Active), (5, Active), (6, Draining)]);
        let after = roster(&[(5, Draining), (6, Draining), (7, Active), (8, Draining)]);
        let events = MemberEvent::between(&before, &after, departure);
        let expected = [
            MemberEvent::Left(member(2, Draining)),
            MemberEvent::Replaced(member(3, Active)),
            MemberEvent::Died(member(4, Active)),
            MemberEvent::Draining(member(5, Draining)),
            MemberEvent::Joined(member(7, Active)),
            MemberEvent::Joined(member(8, Draining)),
            MemberEvent::Draining(member(8, Draining)),
        ];
        assert_eq!(events, expected);
        assert_eq!(MemberEvent::between(&after, &after, departure), []);
        assert_eq!(events[0].to_string(), "Member 127.0.0.1:5702 00000000 left");
    }
}
