//! Who the application says that a client is.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Who the application says that a client is: the name of an account, the subject of a token. Cheap
/// to clone.
///
/// 1 to [`MAX_BYTES`](Self::MAX_BYTES) bytes of UTF-8, compared byte by byte. Every node keeps it
/// with each session of that client, so it should be no secret.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The longest it may be, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// The principal of this name.
    ///
    /// # Errors
    ///
    /// [`InvalidPrincipal`] if it is empty or too long.
    pub fn new(name: &str) -> Result<Self, InvalidPrincipal> {
        match name.len() {
            1..=Self::MAX_BYTES => Ok(Self(name.into())),
            bytes => Err(InvalidPrincipal { bytes }),
        }
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    fn from_str(name: &str) -> Result<Self, InvalidPrincipal> {
        Self::new(name)
    }
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(<&str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A text is not the name of a principal.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a principal has {bytes} bytes, not 1 to {max}", max = Principal::MAX_BYTES)]
#[non_exhaustive]
pub struct InvalidPrincipal {
    /// How many bytes it has.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_neither_empty_nor_long() {
        for name in ["a", "al\u{e9}ce", &"x".repeat(256)] {
            assert_eq!(Principal::new(name).unwrap().as_str(), name);
        }
        for name in ["", &"x".repeat(257)] {
            assert_eq!(Principal::new(name), Err(InvalidPrincipal { bytes: name.len() }));
        }
    }
}
