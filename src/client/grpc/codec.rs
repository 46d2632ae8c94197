//! How messages become bytes and are read from them. What is to be sent is bytes already, because a
//! delivery is encoded once for all of its readers.

use bytes::{BufMut, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{self, BufferSettings, DecodeBuf, EncodeBuf},
};

use super::message::AtmosphereMessage;

/// Reads messages, and writes those that are bytes already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codec;

impl codec::Codec for Codec {
    type Encode = Bytes;
    type Decode = AtmosphereMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl codec::Encoder for Codec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(item.len());
        to.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, PIECE_BYTES)
    }
}

impl codec::Decoder for Codec {
    type Item = AtmosphereMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<AtmosphereMessage>, Status> {
        let decoded = AtmosphereMessage::decode(from);
        decoded.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, PIECE_BYTES)
    }
}

/// How much room there is for messages at first, either way: a stream may be idle for its life.
const BUFFER_BYTES: usize = 1024;

/// How many bytes of messages are written at once, or else one message.
const PIECE_BYTES: usize = 32 * 1024;
