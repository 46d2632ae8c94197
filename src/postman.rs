//! Postman: what a client that acknowledges and a node say to each other, as JSON.
//!
//! A client asks for it with `X-Exosphere-Postman: 1`, a header or a query parameter. From then on
//! every text message of a WebSocket, either way, is one object of this table, and what it is follows
//! from its first field. Without a WebSocket, each is an event of an event stream or of the answer to a
//! long poll; and what the client says it posts to any node, one object a line, and is answered by
//! the acknowledgements of the first pushes among them, of 64 at most: the others it posts again.
//! Where a field is said to be optional, it is left out, never null.
//!
//! | who | object | meaning |
//! |---|---|---|
//! | client | `{"id": KEY, "message": TEXT or any JSON}` | a push: a message for the handler |
//! | client | `{"id": KEY, "binary": BASE64}` | the same, of bytes |
//! | client | `{"confirm": NUMBER}` | the application has everything before this mark |
//! | node | `{"hello": 1, "session": UUID, "node": ID, "resumed": BOOL, "series": optional HEX}` | always the first |
//! | node | `{"id": MESSAGE ID, "topic": NAME, "cause": optional TEXT, "message": TEXT}` | a message |
//! | node | `{"id": MESSAGE ID, "topic": NAME, "cause": optional TEXT, "binary": BASE64}` | the same, of bytes |
//! | node | `{"mark": NUMBER, "position": optional TOKEN}` | to be confirmed once the application has all before it |
//! | node | `{"gap": NAME, "from": TOKEN, "to": TOKEN}` | what lies between was dropped and will not come |
//! | node | `{"ack": KEY, "level": LEVEL, "nodes": NUMBER}` | stored: need not be sent again |
//! | node | `{"close": CODE, "reason": TEXT}` | by requests: the last, which says what the close of a WebSocket would |
//! | node | `{"refused": KEY, "error": TEXT}` | not taken, and never will be: need not be sent again |
//!
//! KEY is a [`PushKey`]: an acknowledgement of a counted one is one of all before it in its epoch. On
//! each connection, once it has the hello, a client sends the pushes that are not acknowledged, in
//! their order, before any other.
//! A message that is JSON and not a string is handed to the handler as the JSON text that it is.
//! By requests, the hello names the series of those that are one connection from there on, to be said
//! as `X-Exosphere-Series` by what follows: with a dot, and how many answers to polls there were in it.
//! LEVEL is `local`, `replicated` or `disk`, and `nodes` counts those that have stored the push, the
//! one that says so among them. The position of a mark is that in the route's topic, and can be
//! handed back as `X-Exosphere-Position`. The cause of a message is the same text in each message
//! that is the same one, published twice because a node was wrongly taken for dead.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    id::{MessageId, NodeId, PushKey, SessionId, TopicName},
    message::Message,
    proto::Level,
};

/// The header, or query parameter, by which a client asks for this.
pub(crate) const HEADER: &str = "X-Exosphere-Postman";

/// The version of it that is spoken.
pub(crate) const VERSION: u8 = 1;

/// What a client says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FromClient {
    /// A message for the handler.
    Push { key: PushKey, message: Message },
    /// The application has everything before the mark with this number.
    Confirm(u64),
}

/// What a node says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FromNode {
    /// Who is there. Always the first.
    Hello { session: SessionId, node: NodeId, resumed: bool, series: Option<String> },
    /// A message.
    Message { id: MessageId, topic: TopicName, cause: Option<String>, message: Message },
    /// To be confirmed once the application has all before it.
    Mark { number: u64, position: Option<String> },
    /// What lies between was dropped and will not come.
    Gap { topic: TopicName, from: String, to: String },
    /// Stored: need not be sent again.
    Acknowledged { key: PushKey, level: Level, nodes: usize },
    /// Not taken, and never will be.
    Refused { key: PushKey, error: String },
    /// The last, where no close frame can say this.
    Closed { code: u16, reason: String },
}

/// A text is not what is to be said here. Nothing was done with it; saying it again does not help.
#[derive(Debug, Error)]
#[error("this is nothing that postman knows")]
pub(crate) enum InvalidFrame {
    /// It is not JSON, or fields are of the wrong kind.
    Json(#[from] serde_json::Error),
    /// What is said to be base64 is not.
    Base64(#[from] base64::DecodeError),
    /// Fields are missing.
    Incomplete,
}

impl FromClient {
    /// Reads what a client says.
    pub(crate) fn decode(text: &str) -> Result<Self, InvalidFrame> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            id: Option<PushKey>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
            #[serde(borrow)]
            binary: Option<Cow<'a, str>>,
            confirm: Option<u64>,
        }
        let Fields { id, message, binary, confirm } = serde_json::from_str(text)?;
        match (id, message, binary, confirm) {
            (Some(key), Some(message), None, None) => {
                Ok(Self::Push { key, message: Message::text(text_of(message)) })
            }
            (Some(key), None, Some(binary), None) => {
                Ok(Self::Push { key, message: Message::binary(STANDARD.decode(&*binary)?) })
            }
            (None, None, None, Some(number)) => Ok(Self::Confirm(number)),
            _ => Err(InvalidFrame::Incomplete),
        }
    }

    /// The text that says this.
    pub(crate) fn encode(&self) -> String {
        #[derive(Default, Serialize)]
        struct Fields<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a PushKey>,
            #[serde(flatten)]
            body: Body<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            confirm: Option<u64>,
        }
        to_text(&match self {
            Self::Push { key, message } => {
                Fields { id: Some(key), body: Body::of(message), confirm: None }
            }
            Self::Confirm(number) => Fields { confirm: Some(*number), ..Fields::default() },
        })
    }
}

/// A message, in one of the two ways.
#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<String>,
}

impl<'a> Body<'a> {
    fn of(message: &'a Message) -> Self {
        match message.as_text() {
            Some(text) => Self { message: Some(text), binary: None },
            None => Self { message: None, binary: Some(STANDARD.encode(message.as_bytes())) },
        }
    }
}

/// What a node says, as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Spoken<'a> {
    Hello {
        hello: u8,
        session: String,
        node: String,
        resumed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        series: Option<&'a str>,
    },
    Message {
        id: String,
        topic: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<&'a str>,
        #[serde(flatten)]
        body: Body<'a>,
    },
    Mark {
        mark: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<&'a str>,
    },
    Gap {
        gap: &'a str,
        from: &'a str,
        to: &'a str,
    },
    Acknowledged {
        ack: &'a PushKey,
        level: Level,
        nodes: usize,
    },
    Refused {
        refused: &'a PushKey,
        error: &'a str,
    },
    Closed {
        close: u16,
        reason: &'a str,
    },
}

/// What a node says, as it is read.
#[derive(Deserialize)]
struct Heard {
    hello: Option<u8>,
    session: Option<String>,
    node: Option<String>,
    resumed: Option<bool>,
    series: Option<String>,
    id: Option<String>,
    topic: Option<String>,
    cause: Option<String>,
    message: Option<String>,
    binary: Option<String>,
    mark: Option<u64>,
    position: Option<String>,
    gap: Option<String>,
    from: Option<String>,
    to: Option<String>,
    ack: Option<PushKey>,
    level: Option<Level>,
    nodes: Option<usize>,
    refused: Option<PushKey>,
    error: Option<String>,
    close: Option<u16>,
    reason: Option<String>,
}

impl FromNode {
    /// The text that says this.
    pub(crate) fn encode(&self) -> String {
        to_text(&match self {
            Self::Hello { session, node, resumed, series } => Spoken::Hello {
                hello: VERSION,
                session: session.to_string(),
                node: node.to_string(),
                resumed: *resumed,
                series: series.as_deref(),
            },
            Self::Message { id, topic, cause, message } => Spoken::Message {
                id: id.to_string(),
                topic: topic.as_str(),
                cause: cause.as_deref(),
                body: Body::of(message),
            },
            Self::Mark { number, position } => {
                Spoken::Mark { mark: *number, position: position.as_deref() }
            }
            Self::Gap { topic, from, to } => Spoken::Gap { gap: topic.as_str(), from, to },
            Self::Acknowledged { key, level, nodes } => {
                Spoken::Acknowledged { ack: key, level: *level, nodes: *nodes }
            }
            Self::Refused { key, error } => Spoken::Refused { refused: key, error },
            Self::Closed { code, reason } => Spoken::Closed { close: *code, reason },
        })
    }

    /// Reads what a node says; `None` if it is something that this version does not know.
    pub(crate) fn decode(text: &str) -> Result<Option<Self>, InvalidFrame> {
        let heard: Heard = serde_json::from_str(text)?;
        let said = if heard.hello.is_some() {
            Self::Hello {
                session: parse(heard.session)?,
                node: parse(heard.node)?,
                resumed: heard.resumed.unwrap_or_default(),
                series: heard.series,
            }
        } else if heard.id.is_some() {
            let message = match (heard.message, heard.binary) {
                (Some(text), None) => Message::text(text),
                (None, Some(binary)) => Message::binary(Bytes::from(STANDARD.decode(binary)?)),
                _ => return Err(InvalidFrame::Incomplete),
            };
            let topic = parse_topic(heard.topic)?;
            Self::Message { id: parse(heard.id)?, topic, cause: heard.cause, message }
        } else if let Some(number) = heard.mark {
            Self::Mark { number, position: heard.position }
        } else if heard.gap.is_some() {
            let (from, to) = (given(heard.from)?, given(heard.to)?);
            Self::Gap { topic: parse_topic(heard.gap)?, from, to }
        } else if let Some(key) = heard.ack {
            Self::Acknowledged { key, level: given(heard.level)?, nodes: given(heard.nodes)? }
        } else if let Some(key) = heard.refused {
            Self::Refused { key, error: heard.error.unwrap_or_default() }
        } else if let Some(code) = heard.close {
            Self::Closed { code, reason: heard.reason.unwrap_or_default() }
        } else {
            return Ok(None);
        };
        Ok(Some(said))
    }
}

fn given<T>(field: Option<T>) -> Result<T, InvalidFrame> {
    field.ok_or(InvalidFrame::Incomplete)
}

fn parse<T: std::str::FromStr>(field: Option<String>) -> Result<T, InvalidFrame> {
    given(field)?.parse().map_err(|_| InvalidFrame::Incomplete)
}

fn parse_topic(field: Option<String>) -> Result<TopicName, InvalidFrame> {
    let name = given(field)?;
    match name.strip_prefix('~').map(str::parse) {
        Some(Ok(session)) => Ok(TopicName::private(session)),
        Some(Err(_)) => Err(InvalidFrame::Incomplete),
        None => TopicName::parse(&name).map_err(|_| InvalidFrame::Incomplete),
    }
}

/// The text of a JSON string; of any other value, its JSON.
fn text_of(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

fn to_text(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("a frame has nothing that JSON cannot say")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_reads_as_it_was_written() {
        let key: PushKey = "00000000000000ab.7".parse().unwrap();
        let text = Message::text("a|X \u{1f600}\n\"");
        for said in [
            FromClient::Push { key: key.clone(), message: text },
            FromClient::Push { key, message: Message::binary(vec![0, 255]) },
            FromClient::Push { key: "any".parse().unwrap(), message: Message::text("") },
            FromClient::Confirm(7),
        ] {
            assert_eq!(FromClient::decode(&said.encode()).unwrap(), said);
        }
    }

    #[test]
    fn a_push_may_be_any_json() {
        let read = |text: &str| match FromClient::decode(text) {
            Ok(FromClient::Push { message, .. }) => message.as_text().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(r#"{"id":"a","message":"\u0041b"}"#), "Ab");
        assert_eq!(read(r#"{"message":{"a": [1, "x"]},"id":"a"}"#), r#"{"a": [1, "x"]}"#);
        assert_eq!(read(r#"{"id":"a","message":17,"more":null}"#), "17");
        for wrong in [
            "",
            "x",
            "{}",
            r#"{"id":"a"}"#,
            r#"{"id":"","message":""}"#,
            r#"{"id":"a","message":"x","binary":"eA=="}"#,
            r#"{"id":"a","binary":"?"}"#,
            r#"{"confirm":-1}"#,
            r#"{"id":"a","message":"x","confirm":1}"#,
        ] {
            assert!(FromClient::decode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_node_says_reads_as_it_was_written() {
        let key: PushKey = "00000000000000ab.7".parse().unwrap();
        let (session, node) = (SessionId::from_bits(7), NodeId::from_bits(9));
        let topic = || TopicName::parse("/chat/lobby").unwrap();
        let id: MessageId = "0000000000000009-17".parse().unwrap();
        for said in [
            FromNode::Hello { session, node, resumed: true, series: None },
            FromNode::Hello { session, node, resumed: false, series: Some("ab".into()) },
            FromNode::Message { id, topic: topic(), cause: None, message: "{}".into() },
            FromNode::Message {
                id,
                topic: TopicName::private(session),
                cause: Some("c".into()),
                message: Message::binary(vec![1]),
            },
            FromNode::Mark { number: 1, position: None },
            FromNode::Mark { number: 1, position: Some("AQ".into()) },
            FromNode::Gap { topic: topic(), from: "AQ".into(), to: "AR".into() },
            FromNode::Acknowledged { key: key.clone(), level: Level::Replicated, nodes: 2 },
            FromNode::Refused { key, error: "no".into() },
            FromNode::Closed { code: 1001, reason: "bye".into() },
        ] {
            assert_eq!(FromNode::decode(&said.encode()).unwrap(), Some(said));
        }
        assert_eq!(FromNode::decode(r#"{"later":1}"#).unwrap(), None);
        assert!(FromNode::decode(r#"{"id":"x"}"#).is_err());
    }
}
