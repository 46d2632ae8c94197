//! The vendor's key that is known to all.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signature, VerifyingKey};
use thiserror::Error;

/// What a key is written with.
const PREFIX: &str = "exosphere-vendor:";

/// The key by which the licences of a vendor are known.
///
/// Its text form, which [`FromStr`] reads, is one line: `exosphere-vendor:` and 32 bytes in base64url.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct PublicKey(VerifyingKey);

/// A text is not a key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("this is not a vendor's key: it should be one line that begins with {PREFIX}")]
#[non_exhaustive]
pub struct InvalidKey;

impl PublicKey {
    pub(super) fn new(key: VerifyingKey) -> Self {
        Self(key)
    }

    /// Strictly: there is one signature for each key and text, and a weak key signs nothing.
    pub(super) fn has_signed(&self, text: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(text, signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.trim_ascii().strip_prefix(PREFIX).ok_or(InvalidKey)?;
        let bytes = BASE64.decode(encoded).map_err(|_| InvalidKey)?;
        let bytes = bytes.try_into().map_err(|_| InvalidKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| InvalidKey)?;
        (!key.is_weak()).then_some(Self(key)).ok_or(InvalidKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
