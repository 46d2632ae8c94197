//! Which hosts a node answers for.
//!
//! A page of anybody's may name its own host, and let that name stand for 127.0.0.1 once it is
//! loaded (DNS rebinding): its origin is then the same as the host that it asks, and only the name
//! tells that it asks a server which was not meant for it. So who comes in on a loopback address has
//! to ask for a host that no stranger can let stand for it: `localhost`, an address, or a name that
//! the application has given. A server that others can reach anyway is asked by any name, unless the
//! application has given some.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header, uri::Authority};

/// The hosts that the application has given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Adds a host: a name, `.name` for it and all below it, or `*` for all.
    ///
    /// # Errors
    ///
    /// Gives the host back if it is none of these.
    pub(crate) fn allow(&mut self, host: String) -> Result<(), String> {
        let name = host.strip_prefix('.').unwrap_or(&host);
        let is_name = name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it));
        if host != "*" && (name.is_empty() || !is_name) {
            return Err(host);
        }
        self.0.push(host.to_ascii_lowercase());
        Ok(())
    }

    /// Whether a request is answered that came in on the address `local`, if that is known.
    ///
    /// # Errors
    ///
    /// The host that the request asks for, if it is not.
    pub(crate) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        local: Option<IpAddr>,
    ) -> Result<(), String> {
        let is_local = local.is_some_and(|local| local.to_canonical().is_loopback());
        if self.0.is_empty() && !is_local {
            return Ok(());
        }
        let named = match headers.get(header::HOST) {
            Some(host) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            None => match uri.authority() {
                Some(authority) => Some(authority.clone()),
                None => return Ok(()), // Every browser says which host it asks.
            },
        };
        let named = named.ok_or_else(|| "?".to_owned())?;
        let host = named.host().to_ascii_lowercase();
        match is_safe(&host) || self.0.iter().any(|allowed| is_meant(allowed, &host)) {
            true => Ok(()),
            false => Err(host),
        }
    }
}

/// Whether nobody can let this host stand for another: a name is looked up, an address is not.
fn is_safe(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

fn is_meant(allowed: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match allowed.strip_prefix('.') {
        Some(name) => host == name || host.ends_with(allowed),
        None => allowed == "*" || host == allowed,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn check(allowed: &[&str], local: Option<IpAddr>, host: &str) -> bool {
        let mut hosts = Hosts::default();
        allowed.iter().for_each(|host| hosts.allow((*host).to_owned()).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        hosts.check(&"/chat".parse().unwrap(), &headers, local).is_ok()
    }

    const LOCAL: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn on_a_loopback_address_only_what_cannot_be_rebound_is_answered() {
        for host in ["localhost", "localhost:8080", "LOCALHOST.", "a.localhost:1", "127.0.0.1:80"] {
            assert!(check(&[], LOCAL, host), "{host}");
        }
        for host in ["[::1]:8080", "192.0.2.1", "127.1.2.3"] {
            assert!(check(&[], LOCAL, host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "a@b@c", "1"] {
            assert!(!check(&[], LOCAL, host), "{host}");
        }
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for local in [IpAddr::V6(Ipv6Addr::LOCALHOST), mapped] {
            assert!(!check(&[], Some(local), "evil.example"), "{local}");
        }
    }

    #[test]
    fn elsewhere_any_host_is_answered_unless_some_are_given() {
        let lan = Some(IpAddr::from([192, 0, 2, 1]));
        for local in [lan, None] {
            assert!(check(&[], local, "any.example"));
            assert!(check(&["chat.example"], local, "Chat.Example:443"));
            assert!(check(&["chat.example"], local, "192.0.2.1"));
            assert!(!check(&["chat.example"], local, "a.chat.example"));
        }
        assert!(check(&[".chat.example"], LOCAL, "a.chat.example"));
        assert!(check(&[".chat.example"], LOCAL, "chat.example."));
        assert!(!check(&[".chat.example"], LOCAL, "evilchat.example"));
        assert!(check(&["*"], LOCAL, "any.example"));
    }

    #[test]
    fn who_names_no_host_is_no_browser_and_http2_puts_it_in_the_uri() {
        let (hosts, none) = (Hosts::default(), HeaderMap::new());
        let check = |uri: &str| hosts.check(&uri.parse().unwrap(), &none, LOCAL);
        assert_eq!(check("/chat"), Ok(()));
        assert_eq!(check("http://localhost:8080/chat"), Ok(()));
        assert_eq!(check("http://evil.example/chat"), Err("evil.example".to_owned()));
    }

    #[test]
    fn what_is_no_host_is_not_allowed() {
        for host in ["", ".", "http://chat.example", "chat.example:80", "a b", "*.example", "a/b"] {
            assert_eq!(Hosts::default().allow(host.to_owned()), Err(host.to_owned()));
        }
    }
}
