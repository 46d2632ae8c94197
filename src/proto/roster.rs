//! The nodes of a cluster, as one of them sees it.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use super::{Announcement, MemberState, wire::ProtocolRange};
use crate::id::NodeId;

/// One node of a cluster. Cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// Its name, which is new at each start.
    pub id: NodeId,
    /// Where its peers reach it.
    pub addr: SocketAddr,
    /// Whether it is the node that was asked.
    pub this: bool,
    /// What it tells of itself, once that is known.
    announcement: Option<Arc<Announcement>>,
}

/// What is taken for what a node tells of itself until it is known.
static UNTOLD: Announcement = Announcement {
    protocol: ProtocolRange::OURS,
    state: MemberState::Active,
    role: None,
    tags: BTreeMap::new(),
    url: None,
};

impl Member {
    /// The node `id` at `addr`, and what it tells of itself, as soon as that is known.
    pub fn new(id: NodeId, addr: SocketAddr, announcement: Option<Arc<Announcement>>) -> Self {
        Self { id, addr, this: false, announcement }
    }

    /// Whether it is known what it tells of itself: some moments after it is known to be there.
    pub fn has_told(&self) -> bool {
        self.announcement.is_some()
    }

    fn announcement(&self) -> &Announcement {
        self.announcement.as_deref().unwrap_or(&UNTOLD)
    }

    /// How it stands.
    pub fn state(&self) -> MemberState {
        self.announcement().state
    }

    /// The versions of the protocol between nodes that it speaks.
    pub fn protocol(&self) -> ProtocolRange {
        self.announcement().protocol
    }

    /// What it is for: see [`Builder::role`](crate::Builder::role).
    pub fn role(&self) -> Option<&str> {
        self.announcement().role.as_deref()
    }

    /// What else the application says of it: see [`Builder::tag`](crate::Builder::tag).
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.announcement().tags
    }

    /// Where clients reach it: see [`Builder::public_url`](crate::Builder::public_url).
    pub fn url(&self) -> Option<&str> {
        self.announcement().url.as_deref()
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member {} {}", self.addr, self.id.short())?;
        if let Some(role) = self.role() {
            write!(f, " {role}")?;
        }
        for (name, value) in self.tags() {
            write!(f, " {name}={value}")?;
        }
        if self.state() != MemberState::Active {
            write!(f, " {}", self.state())?;
        }
        f.write_str(if self.this { " this" } else { "" })
    }
}

/// The live nodes of a cluster, by address.
///
/// Printed, it is what a node logs whenever it changes:
///
/// ```text
/// Members [2] {
///   Member 127.0.0.1:5701 0198c9c4 this
///   Member 127.0.0.1:5702 0198c9c9 edge zone=eu-1 draining
/// }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roster(Vec<Member>);

impl Roster {
    /// `this` node and `others`.
    pub fn new(this: Member, others: impl IntoIterator<Item = Member>) -> Self {
        let others = others.into_iter().filter(|other| other.id != this.id);
        let mut members: Vec<_> = others.collect();
        members.push(Member { this: true, ..this });
        members.sort_by_key(|member| (member.addr, member.id));
        Self(members)
    }

    /// The nodes, by address.
    pub fn members(&self) -> &[Member] {
        &self.0
    }

    /// The newest version of the protocol between nodes that all of them speak: while a cluster is
    /// upgraded node by node, the old one.
    pub fn protocol(&self) -> u16 {
        self.0.iter().map(|member| member.protocol().max).min().unwrap_or(ProtocolRange::OURS.max)
    }

    /// The node of this name.
    pub fn get(&self, id: NodeId) -> Option<&Member> {
        self.0.iter().find(|member| member.id == id)
    }
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Members [{}] {{", self.0.len())?;
        for member in &self.0 {
            writeln!(f, "  {member}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_prints_as_operators_know_it() {
        let node = |bits: u64, port, announcement| {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            Member::new(NodeId::from_bits(bits << 32), addr, Some(Arc::new(announcement)))
        };
        let this = node(0x0198_c9c4, 5701, Announcement::default());
        let tags = BTreeMap::from([("zone".to_owned(), "eu-1".to_owned())]);
        let state = MemberState::Draining;
        let role = Some("edge".into());
        let edge = Announcement { state, role, tags, ..Announcement::default() };
        let roster = Roster::new(this.clone(), [node(0x0198_c9c9, 5702, edge), this]);
        let expected = "Members [2] {\n  Member 127.0.0.1:5701 0198c9c4 this\n  \
                        Member 127.0.0.1:5702 0198c9c9 edge zone=eu-1 draining\n}";
        assert_eq!(roster.to_string(), expected);
    }
}
