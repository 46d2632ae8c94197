//! The vendor's key that only the vendor has.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::Signer;
use ring::rand::{Random, SystemRandom, generate};

use super::{Grant, InvalidKey, InvalidLicense, License, PublicKey, VERSION};

/// What a key is written with.
const PREFIX: &str = "exosphere-vendor-secret:";

/// The key by which a vendor signs licences. It belongs in no application, and in no repository.
///
/// Its debug form does not show it. [`to_text`](Self::to_text) does, which [`FromStr`] reads.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key, of the system's random numbers.
    pub fn generate() -> Self {
        let random: Random<[u8; 32]> =
            generate(&SystemRandom::new()).expect("the operating system has randomness");
        Self::from_bytes(random.expose())
    }

    /// The key of these bytes, which must come from a good source of random ones.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&bytes))
    }

    /// The key that goes with it, for all to know.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::new(self.0.verifying_key())
    }

    /// Signs what a licence allows.
    ///
    /// # Errors
    ///
    /// [`InvalidLicense::Names`] if the token would be longer than [`License::MAX_BYTES`].
    pub fn issue(&self, grant: &Grant) -> Result<License, InvalidLicense> {
        match License::verify(self.sign_payload(&grant.to_payload()), &[self.public_key()]) {
            Err(InvalidLicense::TooLong { .. }) => Err(InvalidLicense::Names),
            issued => issued,
        }
    }

    /// The token with this payload, whatever that says.
    pub(crate) fn sign_payload(&self, payload: &[u8]) -> String {
        let signed = format!("{VERSION}.{}", BASE64.encode(payload));
        let signature = BASE64.encode(self.0.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    /// The key as text: one line, to be kept where only the vendor can read it.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(self.0.as_bytes()))
    }
}

impl FromStr for SigningKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let encoded = text.trim_ascii().strip_prefix(PREFIX).ok_or(InvalidKey)?;
        let bytes = BASE64.decode(encoded).map_err(|_| InvalidKey)?;
        Ok(Self::from_bytes(bytes.try_into().map_err(|_| InvalidKey)?))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public_key()).finish_non_exhaustive()
    }
}
