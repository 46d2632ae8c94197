//! What is said over gRPC, either way: one kind of message for everything.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use tonic::Status;

use crate::{
    id::SessionId,
    message::Message,
    proto::{Entry, Gap, Position, wire::MAX_MESSAGE_BYTES},
};

/// What is said over gRPC, as `atmosphere.proto` has it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AtmosphereMessage {
    #[prost(enumeration = "MessageType", tag = "1")]
    pub(super) r#type: i32,
    #[prost(string, tag = "2")]
    pub(super) topic: String,
    #[prost(string, tag = "3")]
    pub(super) payload: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) binary_payload: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub(super) headers: BTreeMap<String, String>,
    #[prost(string, tag = "6")]
    pub(super) tracking_id: String,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MessageType {
    Subscribe = 0,
    Unsubscribe = 1,
    Message = 2,
    Heartbeat = 3,
    Ack = 4,
    Error = 5,
}

impl AtmosphereMessage {
    /// What was asked for is done.
    pub(super) fn ack(topic: &str, session: SessionId) -> Self {
        let (topic, tracking_id) = (topic.to_owned(), session.to_string());
        Self { r#type: MessageType::Ack.into(), topic, tracking_id, ..Self::default() }
    }

    /// What was asked for is not done, or a session is over. The rest of the stream goes on.
    pub(super) fn error(topic: &str, status: &Status) -> Self {
        let code = (status.code() as i32).to_string();
        Self {
            r#type: MessageType::Error.into(),
            topic: topic.to_owned(),
            payload: status.message().to_owned(),
            headers: [(STATUS.to_owned(), code)].into(),
            ..Self::default()
        }
    }

    /// Messages that the client will not get.
    pub(super) fn gap(gap: &Gap) -> Self {
        let status = Status::data_loss("messages are gone, because a limit was reached");
        let mut error = Self::error(gap.topic.as_str(), &status);
        error.headers.insert(GAP_FROM.to_owned(), gap.from.token());
        error.headers.insert(GAP_TO.to_owned(), gap.to.token());
        error
    }

    /// A delivery, which is the same for all clients. What is sent to one session alone has the topic
    /// that it subscribed to.
    pub(super) fn delivery(entry: &Entry, subscribed: &str) -> Bytes {
        let is_private = entry.topic().private_session().is_some();
        let topic = if is_private { subscribed } else { entry.topic().as_str() };
        let (text, bytes) = match entry.message().as_text() {
            Some(text) => (text, &[][..]),
            None => ("", &entry.message().as_bytes()[..]),
        };
        let delivery = Self {
            r#type: MessageType::Message.into(),
            topic: topic.to_owned(),
            payload: text.to_owned(),
            binary_payload: bytes.to_owned(),
            ..Self::default()
        };
        delivery.encode_to_vec().into()
    }

    /// What is to be appended to a delivery to tell its client where it is with it: two messages in a
    /// row are one, with the fields of both.
    pub(super) fn position(token: String) -> Vec<u8> {
        let headers = [(POSITION.to_owned(), token)].into();
        Self { headers, ..Self::default() }.encode_to_vec()
    }

    /// What the client has, if it says so.
    ///
    /// # Errors
    ///
    /// The position is not one that a node gave out.
    pub(super) fn read_position(&self) -> Result<Option<Position>, Status> {
        let mut headers = self.headers.iter();
        let Some((_, token)) = headers.find(|(name, _)| name.eq_ignore_ascii_case(POSITION)) else {
            return Ok(None);
        };
        let why = "the position is not one that a node gave out; ask again without it";
        Position::parse_token(token).map(Some).map_err(|_| Status::invalid_argument(why))
    }

    /// What the message is for.
    ///
    /// # Errors
    ///
    /// It is for nothing that is known here.
    pub(super) fn kind(&self) -> Result<MessageType, Status> {
        let unknown = || format!("there is no type {}", self.r#type);
        MessageType::try_from(self.r#type).map_err(|_| Status::invalid_argument(unknown()))
    }

    /// What it carries for a handler.
    ///
    /// # Errors
    ///
    /// It is too long, or a text and bytes at once.
    pub(super) fn into_message(self) -> Result<Message, Status> {
        let (text, bytes) = (self.payload, self.binary_payload);
        if text.len().max(bytes.len()) > MAX_MESSAGE_BYTES {
            let why = format!("a message has at most {MAX_MESSAGE_BYTES} bytes");
            return Err(Status::resource_exhausted(why));
        }
        match (text.is_empty(), bytes.is_empty()) {
            (false, false) => Err(Status::invalid_argument("a message is a text or bytes")),
            (_, true) => Ok(Message::text(text)),
            (true, false) => Ok(Message::binary(bytes)),
        }
    }
}

/// The header that says where a client is, under the name that it has with other transports.
const POSITION: &str = "X-Exosphere-Position";

/// The headers of an error that say which messages are gone.
const GAP_FROM: &str = "X-Exosphere-Gap-From";
const GAP_TO: &str = "X-Exosphere-Gap-To";

/// The header of an error that has the code which would end the stream, were it not for others.
const STATUS: &str = "grpc-status";
