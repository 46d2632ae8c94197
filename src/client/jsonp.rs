//! Answers that are scripts, for pages that can do nothing but load scripts.
//!
//! Any page may load a script from anywhere, so that there is nothing to keep it from reading what
//! comes. So this is off unless the application asks for it.

use bytes::Bytes;

/// What a page wants to be called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Callback(String);

impl Callback {
    /// The longest that a name may be.
    const MAX_BYTES: usize = 64;

    /// Reads a name, which is one identifier of a script and nothing else.
    pub(crate) fn read(name: &str) -> Option<Self> {
        let mut bytes = name.bytes();
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
        let is_name = bytes.next().is_some_and(is_letter)
            && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == b'.');
        (is_name && name.len() <= Self::MAX_BYTES).then(|| Self(name.to_owned()))
    }

    /// A script that hands `text` to the page.
    pub(super) fn call(&self, text: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(text);
        let quoted = serde_json::to_string(&text).expect("a string is JSON");
        // In a script, these two end a line, and so a string; and a browser of old looks for markup.
        let quoted = quoted.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
        let quoted = quoted.replace('<', "\\u003c");
        Bytes::from(format!("/**/{}({{\"message\" : {quoted}}});", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_identifier_is_called() {
        for name in ["atmosphere0", "$", "_a.b9", &"x".repeat(64)] {
            assert!(Callback::read(name).is_some(), "{name}");
        }
        for name in ["", "9a", "a b", "a()", "a;b", "a\n", ".a", "\u{e9}", "a<b", &"x".repeat(65)] {
            assert_eq!(Callback::read(name), None, "{name}");
        }
    }

    #[test]
    fn a_text_cannot_leave_its_string() {
        let script = Callback::read("cb").unwrap().call("a\"\n</script>\u{2028}".as_bytes());
        let expected = "/**/cb({\"message\" : \"a\\\"\\n\\u003c/script>\\u2028\"});";
        assert_eq!(script, expected);
    }
}
