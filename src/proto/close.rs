//! The end of a session, as its client is told of it.

use std::borrow::Cow;

/// The end of a session, as its client is told of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Close {
    /// What a program goes by.
    pub code: CloseCode,
    /// What a person reads. At most 123 bytes of it are sent.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// The end that `code` stands for, with a reason for people.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The end of a connection whose client is sent to another node, which clients reach at `url`.
    pub fn go_to(url: &str) -> Self {
        Self::new(CloseCode::GoingAway, format!("{GO_TO}{url}"))
    }

    /// Where a close with this code and reason sends the client, if it does.
    pub fn destination(code: u16, reason: &str) -> Option<&str> {
        (code == CloseCode::GoingAway.get()).then(|| reason.strip_prefix(GO_TO)).flatten()
    }
}

/// What the reason of a close begins with that sends a client to another node. A URL follows.
const GO_TO: &str = "go to ";

/// What kind of end it is, and so whether a client should come back.
///
/// The numbers are WebSocket close codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[repr(u16)]
pub enum CloseCode {
    /// Done: there is nothing to come back for.
    Normal = 1000,
    /// Come back, to any node: this one is going away.
    GoingAway = 1001,
    /// Come back if you can do better: what was sent does not follow the protocol.
    Protocol = 1002,
    /// Come back if you can do better: what was sent is not text though it says so.
    NotText = 1007,
    /// Come back if you can do better: what was sent breaks a rule of the application.
    Policy = 1008,
    /// Come back if you can do better: what was sent is too large.
    TooLarge = 1009,
    /// Come back later: something went wrong here.
    Internal = 1011,
    /// Do not come back: what was asked for is not yours to have.
    Forbidden = 4403,
    /// Come back: what was published was not read fast enough, and some of it is dropped by now.
    SlowConsumer = 4408,
    /// Do not come back with this connection: a newer one of the same session has taken over.
    Superseded = 4409,
}

impl CloseCode {
    /// The number that stands for none. Never on the wire.
    pub const NONE: u16 = 1005;

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self as u16
    }

    /// Whether this number may be on the wire. Those between are reserved, or were never given out.
    pub const fn may_be_sent(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}
