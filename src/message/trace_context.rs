//! Which trace a message is part of.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A span of a trace, as the header `traceparent` of [W3C Trace Context] names it.
///
/// What was published in a span says so wherever it is delivered. With feature `otel` nodes see to that
/// themselves, and make spans of publishes and deliveries; without it they hand on what an application
/// says by [`Message::traced`](crate::Message::traced).
///
/// # Examples
///
/// ```
/// use exosphere::{Message, TraceContext};
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: TraceContext = header.parse()?;
/// let message = Message::from("hello").traced(trace);
/// assert_eq!(message.trace().map(|trace| trace.to_string()).as_deref(), Some(header));
/// # Ok::<_, exosphere::InvalidTraceContext>(())
/// ```
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/#traceparent-header
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct TraceContext {
    /// The upper and the lower half of the trace's id.
    trace: (u64, u64),
    span: u64,
    flags: u8,
}

impl TraceContext {
    /// The span `span` of the trace `trace`. Bit 0 of the flags says that the trace is recorded. Neither
    /// number should be zero: nobody records that.
    pub const fn new(trace: u128, span: u64, flags: u8) -> Self {
        Self { trace: ((trace >> 64) as u64, trace as u64), span, flags }
    }

    /// The trace's id.
    pub const fn trace(self) -> u128 {
        (self.trace.0 as u128) << 64 | self.trace.1 as u128
    }

    /// The span's id.
    pub const fn span(self) -> u64 {
        self.span
    }

    /// The flags, of which bit 0 says that the trace is recorded.
    pub const fn flags(self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace(), self.span, self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let mut fields = text.split('-');
        let version = number(fields.next(), 2)?;
        let (trace, span) = (number(fields.next(), 32)?, number(fields.next(), 16)?);
        let flags = number(fields.next(), 2)?;
        // A later version may say more, but no version is called 255.
        let is_longer = fields.next().is_some();
        if version == 0xff || (version == 0 && is_longer) || trace == 0 || span == 0 {
            return Err(InvalidTraceContext);
        }
        Ok(Self::new(trace, span as u64, flags as u8))
    }
}

/// A field of so many hexadecimal digits, in lower case.
fn number(field: Option<&str>, digits: usize) -> Result<u128, InvalidTraceContext> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let field = field.filter(|field| field.len() == digits && field.bytes().all(is_digit));
    let number = field.and_then(|field| u128::from_str_radix(field, 16).ok());
    number.ok_or(InvalidTraceContext)
}

/// A text that names no span. Trying again does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "not a traceparent: that is 00-TRACE-SPAN-FLAGS, with 32, 16 and 2 hexadecimal digits in lower case"
)]
#[non_exhaustive]
pub struct InvalidTraceContext;

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let trace: TraceContext = SOME.parse().unwrap();
        assert_eq!(trace.trace(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((trace.span(), trace.flags()), (0x00f0_67aa_0ba9_02b7, 1));
        assert_eq!(trace.to_string(), SOME);
    }

    #[test]
    fn what_a_later_version_adds_is_not_looked_at() {
        let later = format!("cc{}-what", &SOME[2..]);
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), SOME);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let longer = format!("{SOME}-what");
        let (upper, no_version) = (SOME.to_uppercase(), format!("ff{}", &SOME[2..]));
        let no_trace = SOME.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let no_span = SOME.replace("00f067aa0ba902b7", &"0".repeat(16));
        let signed = SOME.replace("-01", "-+1");
        for wrong in
            ["", "00", &SOME[..54], &longer, &upper, &no_version, &no_trace, &no_span, &signed]
        {
            assert_eq!(wrong.parse::<TraceContext>(), Err(InvalidTraceContext), "{wrong}");
        }
    }
}
