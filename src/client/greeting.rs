//! The first thing that a client is sent on a new connection.
//!
//! Clients differ in what they wait for, and each takes what another waits for as a message to its
//! application, so the choice is exact:
//!
//! | asked for | up to 4.x | from 5.0 on |
//! |---|---|---|
//! | a new session | handshake | handshake |
//! | a session, over a WebSocket | white space | handshake |
//! | a session, over an event stream or a streamed response | nothing | handshake |
//! | a session, by polling | nothing | nothing |
//!
//! A client that does not understand handshakes gets nothing. It does not matter whether a session
//! that was asked for still existed: an old client reads one handshake only, and so keeps the id
//! that it had. By polling, a new client waits for a handshake only after it lost a connection,
//! which a request does not show: who knows that it did sends a [`Greeting::Handshake`] all the
//! same.

use std::time::Duration;

use super::{Asked, ClientVersion, Framing, Negotiation, Transport};
use crate::id::SessionId;

/// What a client is greeted with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Greeting {
    /// The session's id, and how the client should behave.
    Handshake,
    /// Something that does not mean anything: an old client believes a connection to be open again
    /// only once something comes, whatever it is.
    Whitespace,
    /// Nothing.
    Nothing,
}

impl Greeting {
    /// What this client waits for.
    pub(crate) fn of(negotiation: &Negotiation) -> Self {
        let modern = negotiation.client == ClientVersion::Modern;
        match (negotiation.asked, negotiation.transport) {
            _ if !negotiation.protocol => Self::Nothing,
            (_, Transport::Close) => Self::Nothing,
            (Asked::New, _) => Self::Handshake,
            (_, Transport::WebSocket) if !modern => Self::Whitespace,
            (_, Transport::WebSocket | Transport::Sse | Transport::Streaming) if modern => {
                Self::Handshake
            }
            _ => Self::Nothing,
        }
    }
}

impl Greeting {
    /// What a client that polls waits for, if it is known whether it is back after it lost a
    /// connection.
    pub(crate) fn of_poll(negotiation: &Negotiation, is_back: bool) -> Self {
        let modern = negotiation.client == ClientVersion::Modern;
        match negotiation.protocol && modern && is_back {
            true => Self::Handshake,
            false => Self::of(negotiation),
        }
    }
}

/// The text of a handshake, to be framed like any other.
pub(crate) fn handshake(session: SessionId, client_heartbeat: Duration) -> String {
    format!("{session}|{}|{}|", client_heartbeat.as_millis(), Framing::PADDING)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const ID: &str = "2c1f0000-1234-4abc-8def-0123456789ab";

    fn greeting(query: &str) -> Greeting {
        let uri = format!("/chat?{query}").parse().unwrap();
        Greeting::of(&Negotiation::read(&uri, &HeaderMap::new()).unwrap())
    }

    /// Goal: every row of the table in the head of the file.
    #[test]
    fn each_client_gets_what_it_waits_for() {
        use Greeting::{Handshake, Nothing, Whitespace};
        let table = [
            ("websocket", [Handshake, Whitespace, Handshake]),
            ("sse", [Handshake, Nothing, Handshake]),
            ("streaming", [Handshake, Nothing, Handshake]),
            ("long-polling", [Handshake, Nothing, Nothing]),
            ("polling", [Handshake, Nothing, Nothing]),
            ("close", [Nothing, Nothing, Nothing]),
        ];
        for (transport, [new, legacy, modern]) in table {
            let ask = |version: &str, id: &str, protocol: &str| {
                greeting(&format!(
                    "X-Atmosphere-Transport={transport}&X-Atmosphere-Framework={version}\
                     &X-Atmosphere-tracking-id={id}&{protocol}"
                ))
            };
            for id in [ID, "1724300000000"] {
                for version in ["2.3.8-javascript", "3.1.3-javascript", "4.0.1", ""] {
                    assert_eq!(ask(version, id, "X-atmo-protocol=true"), legacy, "{transport}");
                }
                assert_eq!(ask("5.0.7", id, "X-atmo-protocol=true"), modern, "{transport}");
                assert_eq!(ask("5.0.7", id, ""), Nothing, "{transport}");
            }
            for version in ["3.1.3-javascript", "5.0.7"] {
                assert_eq!(ask(version, "0", "X-atmo-protocol"), new, "{transport}");
                assert_eq!(ask(version, "0", ""), Nothing, "{transport}");
            }
        }
    }

    #[test]
    fn a_handshake_is_this_text() {
        let session = ID.parse().unwrap();
        assert_eq!(handshake(session, Duration::ZERO), format!("{ID}|0|X|"));
        assert_eq!(handshake(session, Duration::from_secs(20)), format!("{ID}|20000|X|"));
    }
}
