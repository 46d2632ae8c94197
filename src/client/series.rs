//! Requests that are one connection together.

use std::str::FromStr;

/// Where a request belongs among those that are one connection of a client: an event stream or polls,
/// and posts. The node that is asked first names it, as it greets the client.
///
/// A client that has not got an answer, for whatever reason, asks for another series. So who asks for
/// what comes next shows by that which answers have arrived; and what it confirms late, by a post, is
/// not taken for something of its next connection. A poll that reaches another node than the one
/// before is answered in a series of that node's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Series {
    /// 64 random bits, written as 16 hexadecimal digits.
    pub(crate) name: u64,
    /// How many answers to polls the client has.
    pub(crate) had: u64,
}

/// A text that names no series.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidSeries;

impl FromStr for Series {
    type Err = InvalidSeries;

    fn from_str(text: &str) -> Result<Self, InvalidSeries> {
        let (name, had) = text.split_once('.').ok_or(InvalidSeries)?;
        let is_name = name.len() == 16 && name.bytes().all(|it| it.is_ascii_hexdigit());
        let name = u64::from_str_radix(name, 16).ok().filter(|_| is_name);
        let had = had.parse().ok().filter(|_| had.bytes().all(|it| it.is_ascii_digit()));
        Ok(Self { name: name.ok_or(InvalidSeries)?, had: had.ok_or(InvalidSeries)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_a_name_and_a_count() {
        let read = |text: &str| text.parse::<Series>();
        assert_eq!(read("00000000000000aB.7"), Ok(Series { name: 0xab, had: 7 }));
        for text in ["", "ab.7", "00000000000000ab", "00000000000000ab.", "+0000000000000ab.7"] {
            assert_eq!(read(text), Err(InvalidSeries), "{text}");
        }
        assert_eq!(read("00000000000000ab.+7"), Err(InvalidSeries));
    }
}
