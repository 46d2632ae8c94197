//! What is published, sent and received.

mod trace_context;

use std::str;

use bytes::Bytes;

pub use trace_context::{InvalidTraceContext, TraceContext};

/// A message: text, which is UTF-8, or bytes. Cheap to clone.
///
/// The difference is what WebSocket makes of it: a client receives a text frame or a binary one,
/// as the message was sent or published.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Message {
    content: Content,
    trace: Option<Box<TraceContext>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Content {
    Binary(Bytes),
    /// UTF-8, which every constructor has seen to.
    Text(Bytes),
}

impl Message {
    /// A message of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(Content::Text(Bytes::from(text.into())))
    }

    /// A message of bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Binary(bytes.into()))
    }

    /// A message of text, from bytes that should be UTF-8.
    ///
    /// # Errors
    ///
    /// [`str::Utf8Error`] if they are not.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, str::Utf8Error> {
        str::from_utf8(&bytes)?;
        Ok(Self::of(Content::Text(bytes)))
    }

    /// The text, or `None` if this is a message of bytes.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(str::from_utf8(text).expect("a text is UTF-8")),
            Content::Binary(_) => None,
        }
    }

    /// Whether this is a message of text.
    pub fn is_text(&self) -> bool {
        matches!(self.content, Content::Text(_))
    }

    /// The bytes of the message, whichever kind it is.
    pub fn as_bytes(&self) -> &Bytes {
        match &self.content {
            Content::Binary(bytes) | Content::Text(bytes) => bytes,
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The same, said in a span of a trace: where it is delivered, that is part of the same trace. With
    /// feature `otel` a message that does not say so is said in the span in which it is published.
    #[must_use]
    pub fn traced(self, trace: TraceContext) -> Self {
        Self { trace: Some(Box::new(trace)), ..self }
    }

    /// The span that it was said in, if it says so.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace.as_deref().copied()
    }

    const fn of(content: Content) -> Self {
        Self { content, trace: None }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::binary(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_or_nothing() {
        assert_eq!(Message::from("hi").as_text(), Some("hi"));
        assert_eq!(Message::from(vec![0xff]).as_text(), None);
        assert!(Message::from_utf8(Bytes::from_static(b"\xff")).is_err());
    }
}
