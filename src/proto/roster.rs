//! The nodes of a cluster, as one of them sees it.

use std::{fmt, net::SocketAddr};

use crate::id::NodeId;

/// One node of a cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// Its name, which is new at each start.
    pub id: NodeId,
    /// Where its peers reach it.
    pub addr: SocketAddr,
    /// Whether it is the node that was asked.
    pub this: bool,
}

/// The live nodes of a cluster, by address.
///
/// Printed, it is what a node logs whenever it changes:
///
/// ```text
/// Members [2] {
///   Member 127.0.0.1:5701 0198c9c4 this
///   Member 127.0.0.1:5702 0198c9c9
/// }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roster(Vec<Member>);

impl Roster {
    /// `this` node and `others`.
    pub fn new(
        this: (NodeId, SocketAddr),
        others: impl IntoIterator<Item = (NodeId, SocketAddr)>,
    ) -> Self {
        let others = others.into_iter().filter(|&(id, _)| id != this.0);
        let others = others.map(|(id, addr)| Member { id, addr, this: false });
        let mut members: Vec<_> = others.collect();
        members.push(Member { id: this.0, addr: this.1, this: true });
        members.sort_by_key(|member| (member.addr, member.id));
        Self(members)
    }

    /// The nodes, by address.
    pub fn members(&self) -> &[Member] {
        &self.0
    }
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Members [{}] {{", self.0.len())?;
        for Member { id, addr, this } in &self.0 {
            let mark = if *this { " this" } else { "" };
            writeln!(f, "  Member {addr} {}{mark}", id.short())?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_prints_as_operators_know_it() {
        let node = |bits: u64, port| {
            (NodeId::from_bits(bits << 32), SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let this = node(0x0198_c9c4, 5701);
        let roster = Roster::new(this, [node(0x0198_c9c9, 5702), this]);
        let expected = "Members [2] {\n  Member 127.0.0.1:5701 0198c9c4 this\n  \
                        Member 127.0.0.1:5702 0198c9c9\n}";
        assert_eq!(roster.to_string(), expected);
    }
}
