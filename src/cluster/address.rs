//! The address that a node tells its peers to dial, which need not be the one that it listens on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::{net::lookup_host, time::timeout};

use super::{beacon::GROUP, interfaces::first_reachable, seeds::Seed};

/// Where peers reach a node, as far as that is known before its socket is bound.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Address {
    /// If this is not the one that is bound.
    ip: Option<IpAddr>,
    port: Option<u16>,
}

impl Address {
    /// The address of a node that listens on `bound`, and was told to advertise this, or nothing.
    ///
    /// If it was told nothing, and listens on all addresses, it is the one from which it would send to
    /// a seed, or else to the multicast group, or else the first that is no loopback address. `None`
    /// if there is none of all these.
    pub(super) async fn find(
        bound: IpAddr,
        advertised: Option<SocketAddr>,
        seeds: &[Seed],
    ) -> Option<Self> {
        match advertised {
            Some(addr) if addr.ip().is_unspecified() => None,
            Some(addr) => {
                let port = Some(addr.port()).filter(|&port| port != 0);
                Some(Self { ip: Some(addr.ip()), port })
            }
            None if !bound.is_unspecified() => Some(Self::default()),
            None => {
                let ip = match towards_seeds(bound, seeds).await {
                    Some(ip) => ip,
                    None => source(bound, SocketAddr::new(GROUP.into(), 1))
                        .or_else(|| first_reachable(bound.is_ipv4()))?,
                };
                Some(Self { ip: Some(ip), port: None })
            }
        }
    }

    /// The address, if the socket is bound to this one.
    pub(super) fn of(self, bound: SocketAddr) -> SocketAddr {
        let ip = self.ip.unwrap_or_else(|| bound.ip());
        SocketAddr::new(ip, self.port.unwrap_or_else(|| bound.port()))
    }
}

async fn towards_seeds(bound: IpAddr, seeds: &[Seed]) -> Option<IpAddr> {
    for seed in seeds {
        let port = *seed.ports().start();
        let found = timeout(LOOKUP_PATIENCE, lookup_host((seed.host(), port))).await;
        let found = found.ok().and_then(Result::ok).into_iter().flatten();
        if let Some(ip) = found.into_iter().find_map(|addr| source(bound, addr)) {
            return Some(ip);
        }
    }
    None
}

/// The address from which a socket that is bound to all would send to `to`. Nothing is sent.
fn source(bound: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    if bound.is_ipv4() && to.is_ipv6() {
        return None;
    }
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    asked().ok().filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// How long the address of a seed is waited for.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_said_is_advertised_with_the_port_that_is_bound_if_none_is_said() {
        let find = |told: &str| Address::find(ANY, Some(addr(told)), &[]);
        let bound = addr("0.0.0.0:5701");
        let (whole, ip_only) = (find("192.0.2.1:7").await, find("192.0.2.1:0").await);
        assert_eq!(whole.unwrap().of(bound), addr("192.0.2.1:7"));
        assert_eq!(ip_only.unwrap().of(bound), addr("192.0.2.1:5701"));
        assert_eq!(find("0.0.0.0:7").await, None);
    }

    #[tokio::test]
    async fn what_is_bound_is_advertised_unless_it_is_every_address() {
        let bound = addr("127.0.0.1:5701");
        assert_eq!(Address::find(bound.ip(), None, &[]).await.unwrap().of(bound), bound);
        // A machine may have no other address than loopback: then there is none.
        for any in [ANY, Ipv6Addr::UNSPECIFIED.into()] {
            let seeds = ["127.0.0.1".parse().unwrap(), "no-such-host.invalid".parse().unwrap()];
            if let Some(found) = Address::find(any, None, &seeds).await {
                let found = found.of(SocketAddr::new(any, 5701));
                assert!(!found.ip().is_unspecified() && !found.ip().is_loopback(), "{found}");
                assert_eq!(found.port(), 5701);
            }
        }
    }
}
