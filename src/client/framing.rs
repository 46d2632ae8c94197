//! How a client tells one message from the next in what it receives.
//!
//! With `X-Atmosphere-TrackMessageSize`, every text is preceded by its length and a `|`. The length
//! counts UTF-16 code units, because that is what a browser's `String.length` counts. What is
//! framed is decided here alone, from what the client asked for and never from what a message looks
//! like: a text that happens to end in `|X` is a text like any other.

use std::fmt::{self, Write};

/// How texts are framed for one client.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Framing {
    /// A text is sent as it is.
    #[default]
    Bare,
    /// A text is sent as `<UTF-16 code units>|<text>`.
    Length,
}

impl Framing {
    /// What the padding, and so a heartbeat, consists of.
    pub(crate) const PADDING: &str = "X";

    /// `text`, framed.
    #[cfg(test)]
    pub(crate) fn encode_text(self, text: &str) -> String {
        let prefix = self.prefix(text);
        let mut framed = String::with_capacity(prefix.as_str().len() + text.len());
        framed.push_str(prefix.as_str());
        framed.push_str(text);
        framed
    }

    /// What to send in front of `text`.
    pub(crate) fn prefix(self, text: &str) -> Prefix {
        let mut prefix = Prefix::default();
        if self == Self::Length {
            write!(prefix, "{}|", utf16_units(text)).expect("a length has at most 20 digits");
        }
        prefix
    }

    /// A heartbeat, framed: what the client drops without telling the application.
    pub(crate) fn heartbeat(self) -> &'static str {
        match self {
            Self::Bare => Self::PADDING,
            Self::Length => "1|X",
        }
    }
}

/// What goes in front of a framed text: its length and the delimiter, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prefix {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
}

impl Prefix {
    /// The digits of the largest `u64`, and the delimiter.
    const MAX_BYTES: usize = 21;

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("a prefix is written as text")
    }
}

impl fmt::Write for Prefix {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// How many UTF-16 code units `text` has.
///
/// One for each character, and one more for each that UTF-8 writes in four bytes.
fn utf16_units(text: &str) -> usize {
    let units = |byte: u8| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0);
    text.bytes().map(units).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client does: a length, a delimiter, that many code units, and again.
    fn decode(stream: &str) -> Vec<String> {
        let units: Vec<u16> = stream.encode_utf16().collect();
        let (mut texts, mut at) = (Vec::new(), 0);
        while at < units.len() {
            let digits = units[at..].iter().position(|unit| *unit == u16::from(b'|')).unwrap();
            let len =
                String::from_utf16(&units[at..at + digits]).unwrap().parse::<usize>().unwrap();
            let start = at + digits + 1;
            texts.push(String::from_utf16(&units[start..start + len]).unwrap());
            at = start + len;
        }
        texts
    }

    #[test]
    fn every_text_frames_exactly() {
        let long = "\u{1f600}\u{e9}|".repeat(10_000);
        let texts = [
            "",
            " ",
            "  hi  \n\n",
            "X",
            "|X",
            "1|X",
            "a|X",
            "a|b|c|",
            "\u{1f600}\u{e9}",
            "0|",
            "41|uuid|0|X|",
            "line\r\nline",
            "\u{10ffff}",
            "\u{0}",
            "\u{ffff}",
            &long,
        ];
        let stream: String = texts.iter().map(|text| Framing::Length.encode_text(text)).collect();
        assert_eq!(decode(&stream), texts);
        for text in texts {
            assert_eq!(utf16_units(text), text.encode_utf16().count());
            assert_eq!(Framing::Bare.encode_text(text), text);
        }
    }

    #[test]
    fn a_length_counts_what_a_browser_counts() {
        assert_eq!(Framing::Length.encode_text("\u{1f600}\u{e9}"), "3|\u{1f600}\u{e9}");
        assert_eq!(Framing::Length.heartbeat(), Framing::Length.encode_text(Framing::PADDING));
        assert_eq!(Framing::Bare.heartbeat(), "X");
    }
}
