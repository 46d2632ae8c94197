//! A secret that people can remember, made as dear to guess as they can afford.

use argon2::{Algorithm, Argon2, Params, Version};
use ring::digest;

use super::{InvalidSecret, Secret};

impl Secret {
    /// The secret that this passphrase is for `cluster`, by Argon2id.
    ///
    /// It takes 64 MiB of memory and a part of a second, of whoever tries a passphrase, too.
    pub(crate) fn from_passphrase(passphrase: &str, cluster: &str) -> Result<Self, InvalidSecret> {
        if passphrase.len() < MIN_BYTES {
            return Err(InvalidSecret::ShortPassphrase { bytes: passphrase.len() });
        }
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(Self::NEW_BYTES));
        let params = params.expect("these costs are within the limits");
        // All nodes must come to the same, so what is to be unlike for each cluster is its name.
        let salt = digest::digest(&digest::SHA256, &[SALT, cluster.as_bytes()].concat());
        let mut secret = vec![0; Self::NEW_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt.as_ref(), &mut secret)
            .map_err(|_| InvalidSecret::TooLong)?;
        Self::from_bytes(secret)
    }
}

/// The shortest passphrase that is taken, in bytes.
const MIN_BYTES: usize = 12;

/// The costs, which are those that RFC 9106 recommends where memory is scarce (section 4).
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

const SALT: &[u8] = b"exosphere/v1 passphrase\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_same_secret_everywhere_and_another_in_another_cluster() {
        let secret = |passphrase, cluster| Secret::from_passphrase(passphrase, cluster).unwrap();
        let ours = secret("correct horse battery", "chat");
        assert_eq!(ours, secret("correct horse battery", "chat"));
        assert_ne!(ours, secret("correct horse battery", "game"));
        assert_ne!(ours, secret("correct horse batterz", "chat"));
    }

    #[test]
    fn a_passphrase_that_is_tried_soon_is_refused() {
        let refused = Secret::from_passphrase("hunter2hunt", "chat");
        assert_eq!(refused, Err(InvalidSecret::ShortPassphrase { bytes: 11 }));
    }
}
