//! How things are said to one client, and what it says.
//!
//! A client is either a plain one, which is sent messages as they are and acknowledges by answering
//! pings; or it speaks [`postman`](crate::postman), and everything either way is one of its frames,
//! as a text. A stock client of Atmosphere's may do so too, with a plugin: its texts are framed, its
//! handshake and heartbeats stay, and the frames are its messages.

use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use ring::digest;

use super::{
    Framing, Greeting, Negotiation, Transport,
    envelope::Envelope,
    frame, greeting,
    server::{CLIENT_HEARTBEAT, LEGACY_ACK},
};
use crate::{
    id::{Cause, NodeId, PushKey, SessionId, TopicName},
    message::Message,
    postman::{FromClient, FromNode},
    proto::{Acknowledgement, Attached, Close, CloseCode, Entry, Gap, Mark, Position},
};

/// How things are said to one client.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    envelope: Envelope,
    framing: Framing,
    /// Whether the client speaks the Atmosphere protocol.
    protocol: bool,
    /// The topic whose position a client that speaks postman is told.
    postman: Option<TopicName>,
}

/// What a client said.
#[derive(Debug)]
pub(super) enum Said {
    /// A message for the handler.
    Message(Message),
    /// A message for the handler, by a name.
    Push(PushKey, Message),
    /// The application has everything before this mark.
    Confirmed(Mark),
    /// That it is there.
    Heartbeat,
}

/// How often a client is asked to confirm what it has, while messages flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long after one mark the next is written at the earliest.
    pub(super) every: Duration,
    /// How much longer a mark waits for a message to be written with: alone, it is a system call
    /// more.
    pub(super) patience: Duration,
}

impl Dialect {
    pub(super) fn new(negotiation: &Negotiation, path: &TopicName) -> Self {
        let is_socket = negotiation.transport == Transport::WebSocket;
        // What polls bring to a client that speaks postman is the pieces of an event stream.
        let (envelope, framing) = match negotiation.postman && !is_socket {
            true => (Envelope::Event, Framing::Bare),
            false => (Envelope::of(negotiation.transport), negotiation.framing),
        };
        Self {
            envelope,
            framing,
            protocol: negotiation.protocol,
            postman: negotiation.postman.then(|| path.clone()),
        }
    }

    /// Whether the client understands a heartbeat that is a text.
    pub(super) fn has_heartbeats(&self) -> bool {
        self.protocol
    }

    /// Whether what the client says may have to be answered.
    pub(super) fn answers(&self) -> bool {
        self.postman.is_some()
    }

    /// Whether the client has what was written before a ping that it answers.
    pub(super) fn confirms_by_pong(&self) -> bool {
        self.postman.is_none()
    }

    /// Whose position is told with a mark.
    pub(super) fn told_position(&self) -> Option<&TopicName> {
        self.postman.as_ref()
    }

    /// How often the client is to be asked what it has.
    pub(super) fn pace(&self) -> Pace {
        match self.postman {
            Some(_) => Pace { every: POSTMAN_MARK_EVERY, patience: Duration::ZERO },
            None => Pace { every: MARK_EVERY, patience: MARK_PATIENCE },
        }
    }

    /// What is said first, after the greeting.
    pub(super) fn hello(
        &self,
        attached: &Attached,
        node: NodeId,
        series: Option<u64>,
    ) -> Option<Bytes> {
        self.postman.as_ref()?;
        let Attached { session, resumed, .. } = *attached;
        let series = series.map(|series| format!("{series:016x}"));
        Some(self.frame(&FromNode::Hello { session, node, resumed, series }))
    }

    /// A message, which is encoded once for all who are told it in the same way.
    pub(super) fn message<'a>(&self, entry: &'a Entry) -> &'a Bytes {
        let form = match (self.envelope, &self.postman) {
            (Envelope::Frame, None) => form::FRAME,
            (Envelope::Frame, Some(_)) => form::POSTMAN_FRAME,
            (Envelope::Event, None) => form::EVENT,
            (Envelope::Event, Some(_)) => form::POSTMAN_EVENT,
            (Envelope::Chunk, _) => form::CHUNK,
        };
        let is_framed = usize::from(self.framing == Framing::Length);
        entry.form(2 * form + is_framed, |entry| self.encode(entry))
    }

    /// Asks the client to confirm that it has everything that was written before.
    pub(super) fn mark(&self, mark: Mark, position: Option<&Position>) -> Bytes {
        if self.postman.is_none() {
            return frame::ping(mark.get());
        }
        // One that is too long could not be handed back.
        let token = position.map(Position::token);
        let token = token.filter(|token| token.len() <= Position::MAX_TOKEN_CHARS);
        self.frame(&FromNode::Mark { number: mark.get(), position: token })
    }

    /// Tells the client of messages that it will not get, if it wants to hear of that.
    pub(super) fn gap(&self, gap: &Gap) -> Option<Bytes> {
        let (topic, from, to) = (gap.topic.clone(), gap.from.token(), gap.to.token());
        let said = FromNode::Gap { topic, from, to };
        match (&self.postman, self.envelope) {
            (Some(_), _) => Some(self.frame(&said)),
            // Of another type than messages, it reaches only those who listen to it.
            (None, Envelope::Event) => {
                let event = self.envelope.wrap(Framing::Bare, &said.encode());
                Some(Bytes::from([b"event:gap\r\n", &event[..]].concat()))
            }
            (None, _) => None,
        }
    }

    /// Tells the client that what it sent is stored.
    pub(super) fn acknowledged(&self, acknowledgement: Acknowledgement) -> Bytes {
        let Acknowledgement { key, level, nodes, .. } = acknowledgement;
        self.frame(&FromNode::Acknowledged { key, level, nodes })
    }

    /// Tells the client that what it sent is not taken, and never will be.
    pub(super) fn refused(&self, key: PushKey, error: &str) -> Bytes {
        self.frame(&FromNode::Refused { key, error: error.to_owned() })
    }

    /// Tells a client that speaks postman why there is nothing more to come, where that is not told
    /// by the end itself.
    pub(super) fn closed(&self, close: &Close) -> Option<Bytes> {
        self.postman.as_ref()?;
        let (code, reason) = (close.code.get(), close.reason.to_string());
        Some(self.frame(&FromNode::Closed { code, reason }))
    }

    /// A heartbeat for a client that [has them](Self::has_heartbeats).
    pub(super) fn heartbeat(&self) -> Bytes {
        self.envelope.wrap(Framing::Bare, self.framing.heartbeat())
    }

    /// The first thing that is said: what `greeting` is to this client.
    pub(super) fn greeting(&self, greeting: Greeting, session: SessionId) -> Option<Bytes> {
        match greeting {
            Greeting::Handshake => {
                let handshake = greeting::handshake(session, CLIENT_HEARTBEAT);
                Some(self.envelope.wrap(self.framing, &handshake))
            }
            // Never framed: with a length before it, it would be a message.
            Greeting::Whitespace => Some(self.envelope.wrap(Framing::Bare, " ")),
            Greeting::Nothing => None,
        }
    }

    /// Reads what the client says.
    ///
    /// # Errors
    ///
    /// It is nothing that the client can say here, and nothing was done with it.
    pub(super) fn read(&self, message: Message) -> Result<Said, Close> {
        match message.as_text() {
            Some(Framing::PADDING | LEGACY_ACK) if self.protocol => Ok(Said::Heartbeat),
            Some(text) if self.postman.is_some() => match FromClient::decode(text) {
                Ok(FromClient::Push { key, message }) => Ok(Said::Push(key, message)),
                Ok(FromClient::Confirm(number)) => Ok(Said::Confirmed(Mark::new(number))),
                Err(error) => Err(Close::new(CloseCode::Protocol, error.to_string())),
            },
            None if self.postman.is_some() => {
                Err(Close::new(CloseCode::Protocol, "postman sends bytes as base64, in a text"))
            }
            _ => Ok(Said::Message(message)),
        }
    }

    fn encode(&self, entry: &Entry) -> Bytes {
        let message = entry.message();
        if self.postman.is_some() {
            return self.frame(&FromNode::Message {
                id: entry.id(),
                topic: entry.topic().clone(),
                cause: entry.cause().map(name_of),
                message: message.clone(),
            });
        }
        match message.as_text() {
            Some(text) => self.envelope.wrap(self.framing, text),
            None if self.envelope == Envelope::Frame => frame::binary(message.as_bytes()),
            // What is made of texts has bytes as base64, whatever they are.
            None => self.envelope.wrap(self.framing, &STANDARD.encode(message.as_bytes())),
        }
    }

    fn frame(&self, said: &FromNode) -> Bytes {
        self.envelope.wrap(self.framing, &said.encode())
    }
}

/// A text that is the same for the same cause, and does not tell whose session it is: who knows a
/// session can take it over.
fn name_of(cause: &Cause) -> String {
    let named = format!("{} {} {}", cause.session, cause.index, cause.key);
    let digest = digest::digest(&digest::SHA256, named.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..CAUSE_BYTES])
}

/// How much of a digest it takes so that two causes never look the same.
const CAUSE_BYTES: usize = 16;

/// Where a wire form is kept beside a message: twice that if texts are bare, and one more if they
/// are framed.
pub(super) mod form {
    pub(super) const FRAME: usize = 0;
    pub(super) const POSTMAN_FRAME: usize = 1;
    pub(super) const EVENT: usize = 2;
    pub(super) const CHUNK: usize = 3;
    /// Never framed, so that it takes one place only.
    pub(super) const POSTMAN_EVENT: usize = 4;
    /// Where the one form of gRPC is kept, behind those.
    #[cfg(feature = "grpc")]
    pub(in crate::client) const GRPC: usize = 9;
}

/// How often a plain client is asked to confirm what it has, while messages flow.
const MARK_EVERY: Duration = Duration::from_millis(500);

/// How much longer a mark for a plain client waits for a message to be written with.
const MARK_PATIENCE: Duration = Duration::from_millis(250);

/// How often a client that speaks postman is asked to confirm what it has, while messages flow. Its
/// answer is an acknowledgement by the application, which others may be waiting for.
const POSTMAN_MARK_EVERY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_a_name_that_hides_its_session() {
        let session = SessionId::from_bits(7);
        let name = |index, key: &str| name_of(&Cause::new(session, key.parse().unwrap(), index));
        assert_eq!(name(0, "a"), name(0, "a"));
        assert_ne!(name(0, "a"), name(1, "a"));
        assert_ne!(name(0, "a"), name(0, "b"));
        assert_eq!(name(0, "a").len(), 22);
    }

    #[test]
    fn a_client_is_greeted_as_it_asked_to_be() {
        let id = "2c1f0000-1234-4abc-8def-0123456789ab";
        let greet = |query: &str, greeting| {
            let uri = format!("/chat?X-Atmosphere-Transport={query}").parse().unwrap();
            let negotiation = Negotiation::read(&uri, &http::HeaderMap::new()).unwrap();
            let dialect = Dialect::new(&negotiation, &TopicName::parse("/chat").unwrap());
            let frame = dialect.greeting(greeting, id.parse().unwrap());
            frame.map(|frame| String::from_utf8(frame.to_vec()).unwrap())
        };
        let handshake = format!("{id}|60000|X|");
        let framed = format!("45|{handshake}");
        assert_eq!(greet("streaming", Greeting::Handshake), Some(handshake));
        let tracked = |transport| format!("{transport}&X-Atmosphere-TrackMessageSize=true");
        let event = format!("data:{framed}\r\n\r\n");
        assert_eq!(greet(&tracked("sse"), Greeting::Handshake), Some(event));
        assert_eq!(greet(&tracked("long-polling"), Greeting::Handshake), Some(framed));
        assert_eq!(greet(&tracked("streaming"), Greeting::Whitespace), Some(" ".to_owned()));
        assert_eq!(greet(&tracked("sse"), Greeting::Nothing), None);
    }
}
