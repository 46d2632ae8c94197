//! One seed, as the user writes it: `host`, `host:port`, `[v6]` or `[v6]:port`.

use std::{fmt, net::Ipv6Addr, ops::RangeInclusive, str::FromStr};

use thiserror::Error;

use crate::cluster::endpoint::FIRST_PORT;

/// A host that is, or was, or will be a node, or several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seed {
    host: String,
    port: Option<u16>,
}

impl Seed {
    /// The name or the address of the host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// This seed with the first port that nodes use, unless it has another.
    pub(crate) fn or_first_port(mut self) -> Self {
        self.port.get_or_insert(FIRST_PORT);
        self
    }

    /// The ports to dial: the one that was given, or the first three that nodes use.
    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        match self.port {
            Some(port) => port..=port,
            None => FIRST_PORT..=FIRST_PORT + 2,
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        let invalid = |why| InvalidSeed { seed: text.chars().take(MAX_HOST).collect(), why };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) =
                    rest.split_once(']').ok_or_else(|| invalid("a `]` is missing"))?;
                host.parse::<Ipv6Addr>().map_err(|_| invalid("no IPv6 address is in brackets"))?;
                (host, port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                let v6 = text.parse::<Ipv6Addr>().is_ok();
                let fits = (1..=MAX_HOST).contains(&host.len());
                match host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@?#".contains(&byte)) {
                    _ if v6 => return Err(invalid("an IPv6 address must be in brackets")),
                    true if fits => (host, port),
                    _ => return Err(invalid("the host is no name and no address")),
                }
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(port) => match port.parse() {
                Ok(number) if number != 0 && !port.starts_with('+') => Some(number),
                _ => return Err(invalid("the port is not one of 1 to 65535")),
            },
            None => return Err(invalid("only a port can follow the `]`")),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A text is no seed. The node was not started, and trying again does not help.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{seed}` is not `host`, `host:port` or `[address]:port`: {why}")]
pub(crate) struct InvalidSeed {
    seed: String,
    why: &'static str,
}

/// The longest that a host's name can be.
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Seed, InvalidSeed> {
        text.parse()
    }

    #[test]
    fn a_seed_may_have_a_port() {
        for (text, host, ports) in [
            ("chat-0.internal:7946", "chat-0.internal", 7946..=7946),
            ("chat-0.internal", "chat-0.internal", 5701..=5703),
            ("10.0.0.1:1", "10.0.0.1", 1..=1),
            ("10.0.0.1", "10.0.0.1", 5701..=5703),
            ("[::1]:65535", "::1", 65535..=65535),
            ("[2001:db8::7]", "2001:db8::7", 5701..=5703),
        ] {
            let seed = parse(text).unwrap();
            assert_eq!((seed.host(), seed.ports()), (host, ports.clone()), "{text}");
            assert_eq!(seed.to_string(), text);
            assert_eq!(seed.or_first_port().ports(), *ports.start()..=*ports.start());
        }
    }

    #[test]
    fn what_is_no_seed_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "no name"),
            (":5701", "no name"),
            ("a b", "no name"),
            ("http://host:80", "the port"),
            ("host/path", "no name"),
            ("host:", "the port"),
            ("host:0", "the port"),
            ("host:+1", "the port"),
            ("host:65536", "the port"),
            ("::1", "in brackets"),
            ("[::1", "missing"),
            ("[host]:1", "no IPv6"),
            ("[::1]x", "follow"),
            (&"x".repeat(300), "no name"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
