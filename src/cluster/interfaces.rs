//! The network interfaces of this machine, by their addresses.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr},
};

use if_addrs::{IfAddr, Interface, get_if_addrs};

/// Some interfaces of this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Interfaces {
    /// The loopback interface.
    Loopback,
    /// All that are up, but for loopback.
    All,
    /// Those with one of these names or IPv4 addresses.
    Named(Vec<String>),
}

impl Interfaces {
    /// The IPv4 addresses by which these are known just now, and not too many.
    pub(super) fn addrs(&self) -> io::Result<BTreeSet<Ipv4Addr>> {
        if *self == Self::Loopback {
            return Ok(BTreeSet::from([Ipv4Addr::LOCALHOST]));
        }
        let found = get_if_addrs()?;
        let ours = found.iter().filter(|interface| interface.is_oper_up());
        let addrs = ours.filter_map(|interface| self.addr_of(interface));
        Ok(addrs.take(MAX_INTERFACES).collect())
    }

    fn addr_of(&self, interface: &Interface) -> Option<Ipv4Addr> {
        let IfAddr::V4(addr) = &interface.addr else { return None };
        let is_meant = match self {
            Self::Loopback => addr.ip.is_loopback(),
            Self::All => !addr.ip.is_loopback(),
            Self::Named(names) => {
                names.iter().any(|name| *name == interface.name || *name == addr.ip.to_string())
            }
        };
        is_meant.then_some(addr.ip)
    }
}

/// The first address that other machines may reach, which is of IPv4 if it must be.
pub(super) fn first_reachable(must_be_v4: bool) -> Option<IpAddr> {
    let mut found = get_if_addrs().ok()?;
    // IPv4 first: of several addresses of IPv6, some are soon others.
    found.sort_by_key(|interface| interface.ip().is_ipv6());
    let is_reachable = |interface: &&Interface| {
        let ip = interface.ip();
        let is_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        interface.is_oper_up() && !ip.is_loopback() && !is_local && (ip.is_ipv4() || !must_be_v4)
    };
    found.iter().find(is_reachable).map(Interface::ip)
}

/// How many interfaces are used: systems let a socket join 20 groups.
const MAX_INTERFACES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name_and_address() {
        let named = |name: &str| Interfaces::Named(vec![name.to_owned()]).addrs().unwrap();
        let local = BTreeSet::from([Ipv4Addr::LOCALHOST]);
        assert_eq!(named("127.0.0.1"), local);
        let lo = get_if_addrs().unwrap();
        let lo = lo.iter().find(|interface| interface.ip() == Ipv4Addr::LOCALHOST).unwrap();
        assert!(named(&lo.name).contains(&Ipv4Addr::LOCALHOST));
        assert_eq!(named("no-such-interface"), BTreeSet::new());
        assert!(Interfaces::All.addrs().unwrap().is_disjoint(&local));
        assert_eq!(Interfaces::Loopback.addrs().unwrap(), local);
    }

    #[test]
    fn what_others_reach_is_no_loopback_address() {
        assert!(first_reachable(true).is_none_or(|ip| ip.is_ipv4() && !ip.is_loopback()));
    }
}
