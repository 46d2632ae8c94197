//! Which generation of Atmosphere's client is at the other end.

/// What a client says it is, in `X-Atmosphere-Framework`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum ClientVersion {
    /// Nothing, or nothing that can be understood.
    #[default]
    Unknown,
    /// Too old to be spoken to: before 2.2.1, the handshake was another.
    Ancient,
    /// Up to 4.x. It reads one handshake in its life, and takes a second one for a message.
    Legacy,
    /// From 5.0 on. It waits for a handshake again each time it reconnects.
    Modern,
}

impl ClientVersion {
    /// The first version whose handshake is ours.
    const OLDEST: [u32; 3] = [2, 2, 1];
    const MODERN: u32 = 5;
    /// What only the old code base appends to its version, though not always.
    const LEGACY_MARK: &str = "-javascript";

    /// Reads a version such as `3.1.3-javascript` or `5.0.7`.
    pub(crate) fn read(text: &str) -> Self {
        let numbers = text.split('-').next().unwrap_or(text);
        let mut version = [0; 3];
        for (place, number) in version.iter_mut().zip(numbers.split('.')) {
            match number.parse() {
                Ok(number) => *place = number,
                Err(_) => return Self::Unknown,
            }
        }
        match version {
            ancient if ancient < Self::OLDEST => Self::Ancient,
            [major, ..] if major >= Self::MODERN && !text.contains(Self::LEGACY_MARK) => {
                Self::Modern
            }
            _ => Self::Legacy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fall_into_generations() {
        use ClientVersion::{Ancient, Legacy, Modern, Unknown};
        let versions = [
            ("2.3.8-javascript", Legacy),
            ("3.1.3-javascript", Legacy),
            ("4.0.1", Legacy),
            ("4.0", Legacy),
            ("2.2.1", Legacy),
            ("2.2.10", Legacy),
            ("2.10.0-javascript", Legacy),
            ("5.0.0-javascript", Legacy),
            ("5.0.7", Modern),
            ("5.0.7.RC1", Modern),
            ("12", Modern),
            ("2.2.0", Ancient),
            ("1.0.13", Ancient),
            ("2", Ancient),
            ("", Unknown),
            ("javascript", Unknown),
            ("5.x", Unknown),
            ("99999999999999.0.0", Unknown),
        ];
        for (text, version) in versions {
            assert_eq!(ClientVersion::read(text), version, "{text:?}");
        }
    }
}
