//! The field of a greeting that proves which node sends it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A node's public key, and what it signed with it: 32 and 64 bytes.
///
/// Here they are bytes: who has the connection checks them.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Proof([u8; Self::BYTES]);

impl Proof {
    /// How many bytes there are.
    pub const BYTES: usize = Self::KEY_BYTES + 64;

    const KEY_BYTES: usize = 32;

    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The public key.
    pub fn key(&self) -> &[u8] {
        &self.0[..Self::KEY_BYTES]
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.0[Self::KEY_BYTES..]
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Proof;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} bytes", Proof::BYTES)
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Proof, E> {
                let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(Proof(bytes))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
