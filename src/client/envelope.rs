//! How a text is wrapped for one transport.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::{Framing, Transport, frame};

/// What a text is wrapped in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Envelope {
    /// A WebSocket's text frame.
    Frame,
    /// An event, as `EventSource` reads it.
    Event,
    /// Nothing: the body of a response is the texts, one after the other.
    Chunk,
}

impl Envelope {
    /// What `transport` wraps texts in.
    pub(super) fn of(transport: Transport) -> Self {
        match transport {
            Transport::WebSocket => Self::Frame,
            Transport::Sse => Self::Event,
            _ => Self::Chunk,
        }
    }

    /// `text`, framed as the client asked for, and wrapped.
    pub(super) fn wrap(self, framing: Framing, text: &str) -> Bytes {
        match self {
            Self::Frame => frame::text(framing, text),
            Self::Event => event(framing, text),
            Self::Chunk => {
                let prefix = framing.prefix(text);
                Bytes::from([prefix.as_str().as_bytes(), text.as_bytes()].concat())
            }
        }
    }
}

/// `text` as one event. Its reader sees every line end as a line feed, and drops one space at the
/// beginning of a line: so the length is that of what it will see, and the space is doubled. No
/// text can end its event or begin another.
fn event(framing: Framing, text: &str) -> Bytes {
    let text = with_line_feeds(text);
    let mut event = BytesMut::with_capacity(text.len() + 32);
    event.extend_from_slice(b"data:");
    event.extend_from_slice(framing.prefix(&text).as_str().as_bytes());
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            event.extend_from_slice(b"\r\ndata:");
        }
        if line.starts_with(' ') && (at > 0 || framing == Framing::Bare) {
            event.extend_from_slice(b" ");
        }
        event.extend_from_slice(line.as_bytes());
    }
    event.extend_from_slice(b"\r\n\r\n");
    event.freeze()
}

fn with_line_feeds(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an `EventSource` makes of a stream: the data of its events.
    fn read(stream: &str) -> Vec<String> {
        let (mut events, mut data) = (Vec::new(), Vec::new());
        for line in stream.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
            if line.is_empty() {
                if !data.is_empty() {
                    events.push(std::mem::take(&mut data).join("\n"));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            if field == "data" {
                data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
            }
        }
        events
    }

    #[test]
    fn a_text_is_one_event_whatever_it_says() {
        let texts = [
            ("", ""),
            ("hi", "hi"),
            (" hi", " hi"),
            ("  \n  a", "  \n  a"),
            ("a\n\nid:7\ndata:forged", "a\n\nid:7\ndata:forged"),
            ("a\r\n\r\ndata:forged\r\n\r\n", "a\n\ndata:forged\n\n"),
            ("a\rb\n\rc", "a\nb\n\nc"),
            ("\u{feff}|\u{2028}", "\u{feff}|\u{2028}"),
            (":comment", ":comment"),
        ];
        for (text, seen) in texts {
            for framing in [Framing::Bare, Framing::Length] {
                let event = Envelope::Event.wrap(framing, text);
                let event = str::from_utf8(&event).unwrap();
                assert_eq!(read(&event.repeat(2)), vec![framing.encode_text(seen); 2], "{text:?}");
            }
        }
    }

    #[test]
    fn an_event_is_these_bytes() {
        assert_eq!(
            Envelope::Event.wrap(Framing::Length, "a\nb")[..],
            *b"data:3|a\r\ndata:b\r\n\r\n"
        );
        assert_eq!(Envelope::Chunk.wrap(Framing::Length, "a\nb")[..], *b"3|a\nb");
        assert_eq!(Envelope::Chunk.wrap(Framing::Bare, " ")[..], *b" ");
    }
}
