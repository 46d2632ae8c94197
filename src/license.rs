//! Licences: what a vendor allows a customer, signed.
//!
//! A token is text, `EXO1.<payload>.<signature>`, both parts in base64url without padding. The
//! payload is JSON, and what is signed (Ed25519, RFC 8032) is everything before the last dot, as it
//! stands: nothing is written again to be checked. Whoever changes a bit has another text that
//! nobody has signed.

mod day;
mod grant;
mod invalid;
mod licenses;
mod not_in_force;
mod public_key;
mod signing_key;
mod terms;
mod validity;

use std::{fmt, num::NonZeroU32, sync::Arc, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::Signature;

use self::day::Day;
pub(crate) use self::{licenses::Licenses, terms::Terms};
use crate::proto::licensing::Papers;

pub use self::{
    grant::Grant,
    invalid::InvalidLicense,
    not_in_force::NotInForce,
    public_key::{InvalidKey, PublicKey},
    signing_key::SigningKey,
    validity::Validity,
};

/// What every token of this form begins with.
const VERSION: &str = "EXO1";

/// A licence that a vendor has signed. Cheap to clone.
///
/// Its text form is the token.
#[derive(Clone)]
pub struct License {
    token: Arc<str>,
    grant: Arc<Grant>,
    /// Those by one of whom it is signed.
    vendors: Arc<[PublicKey]>,
}

impl License {
    /// How long a token may be, in bytes: nodes tell it to each other again and again.
    pub const MAX_BYTES: usize = Papers::MAX_TOKEN_BYTES;

    /// Reads a token, of which white space around it is no part, and checks that one of `vendors`
    /// has signed it. Nodes that have it trust all of these.
    ///
    /// Whether it holds now is another question: see [`validity`](Self::validity).
    ///
    /// # Errors
    ///
    /// [`InvalidLicense`] if it is not a token, or nobody in `vendors` has signed it.
    ///
    /// # Examples
    ///
    /// ```
    /// use exosphere::{Grant, InvalidLicense, License, SigningKey};
    ///
    /// let vendor = SigningKey::from_bytes([7; 32]);
    /// let grant = Grant::new("Example Ltd", 27)?;
    /// let token = vendor.issue(&grant)?;
    /// let license = License::verify(&token.to_string(), &[vendor.public_key()])?;
    /// assert_eq!(license.grant().max_nodes.get(), 27);
    ///
    /// let stranger = SigningKey::from_bytes([8; 32]);
    /// let refused = License::verify(&token.to_string(), &[stranger.public_key()]);
    /// assert_eq!(refused, Err(InvalidLicense::NotSigned { keys: 1 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(token: impl AsRef<[u8]>, vendors: &[PublicKey]) -> Result<Self, InvalidLicense> {
        let Token { text, signed, payload, signature } = Token::split(token.as_ref())?;
        let signature = BASE64.decode(signature).map_err(|_| InvalidLicense::NotAToken)?;
        let signature = Signature::from_slice(&signature).map_err(|_| InvalidLicense::NotAToken)?;
        if !vendors.iter().any(|vendor| vendor.has_signed(signed.as_bytes(), &signature)) {
            return Err(InvalidLicense::NotSigned { keys: vendors.len() });
        }
        let grant = Arc::new(Grant::read(payload)?);
        Ok(Self { token: text.into(), grant, vendors: vendors.into() })
    }

    /// What a token says, whoever has signed it: for people to read, and to rely on for nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidLicense`] if it is not a token.
    pub fn inspect(token: impl AsRef<[u8]>) -> Result<Grant, InvalidLicense> {
        Grant::read(Token::split(token.as_ref())?.payload)
    }

    /// What it allows.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether it holds at this time.
    pub fn validity(&self, now: SystemTime) -> Validity {
        Validity::of(&self.grant, now)
    }

    /// Whether it counts in this cluster, at this time.
    ///
    /// # Errors
    ///
    /// [`NotInForce`] says why it does not.
    pub fn check(&self, cluster: &str, now: SystemTime) -> Result<(), NotInForce> {
        let Grant { not_before, expires, grace_days, .. } = *self.grant;
        let customer = || self.grant.customer.clone();
        if let Some(licensed) = self.grant.cluster.as_ref().filter(|it| *it != cluster) {
            let (licensed, cluster) = (licensed.clone(), cluster.to_owned());
            return Err(NotInForce::OtherCluster { customer: customer(), licensed, cluster });
        }
        match (self.validity(now), expires) {
            (Validity::NotYet, _) => Err(NotInForce::NotYet { customer: customer(), not_before }),
            (Validity::Expired, Some(expires)) => {
                Err(NotInForce::Expired { customer: customer(), expires, grace_days })
            }
            _ => Ok(()),
        }
    }

    /// How many nodes of a cluster may be active at the same time.
    pub fn max_nodes(&self) -> NonZeroU32 {
        self.grant.max_nodes
    }

    /// What the vendor calls it.
    pub fn id(&self) -> &str {
        &self.grant.id
    }
}

/// The parts of a token, as they stand.
struct Token<'a> {
    text: &'a str,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Token<'a> {
    fn split(token: &'a [u8]) -> Result<Self, InvalidLicense> {
        let token = token.trim_ascii();
        if token.len() > License::MAX_BYTES {
            return Err(InvalidLicense::TooLong { bytes: token.len() });
        }
        let text = str::from_utf8(token).map_err(|_| InvalidLicense::NotAToken)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(InvalidLicense::NotAToken)?;
        let (version, payload) = signed.split_once('.').ok_or(InvalidLicense::NotAToken)?;
        match version == VERSION {
            true => Ok(Self { text, signed, payload, signature }),
            false => Err(InvalidLicense::OtherVersion),
        }
    }
}

/// The same token.
impl PartialEq for License {
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

impl Eq for License {}

impl fmt::Display for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.token)
    }
}

/// Without the token, which need not be in a log.
impl fmt::Debug for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("License").field(&self.grant).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue() -> (License, PublicKey) {
        let vendor = SigningKey::from_bytes([7; 32]);
        let mut grant = Grant::new("Example Ltd", 27).unwrap();
        grant.features = vec!["sso".to_owned()];
        grant.cluster = Some("chat".to_owned());
        (vendor.issue(&grant).unwrap(), vendor.public_key())
    }

    #[test]
    fn a_token_is_read_as_it_was_issued() {
        let (license, vendor) = issue();
        let read = License::verify(format!("\n {license}\r\n"), &[vendor]).unwrap();
        assert_eq!(read, license);
        assert!(read.grant().has_feature("sso"));
        assert_eq!(vendor.to_string().parse(), Ok(vendor));
        let secret = SigningKey::from_bytes([7; 32]);
        let again: SigningKey = secret.to_text().parse().unwrap();
        assert_eq!(again.public_key(), vendor);
        assert!(!format!("{secret:?}").contains(&secret.to_text()));
    }

    #[test]
    fn the_token_in_the_notes_is_one() {
        let notes = include_str!("../proto-notes.md");
        let line = |begin: &str| {
            notes.lines().find_map(|line| line.strip_prefix(begin)).expect("the notes have it")
        };
        let vendor: PublicKey = line("public key ").parse().unwrap();
        assert_eq!(vendor, SigningKey::from_bytes([7; 32]).public_key());
        let token = format!("EXO1.{}", line("EXO1."));
        let license = License::verify(&token, &[vendor]).unwrap();
        let grant = Grant { id: "7".to_owned(), ..Grant::new("Example Ltd", 27).unwrap() };
        assert_eq!(*license.grant(), grant);
        assert_eq!(SigningKey::from_bytes([7; 32]).issue(&grant).unwrap().to_string(), token);
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let (license, vendor) = issue();
        let token = license.to_string();
        for place in 0..token.len() {
            for bit in 0..8 {
                let mut changed = token.clone().into_bytes();
                changed[place] ^= 1 << bit;
                let refused = License::verify(&changed, &[vendor]);
                assert!(refused.is_err(), "{place} {bit}: {}", changed.escape_ascii());
            }
            assert!(License::verify(&token[..place], &[vendor]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn what_is_no_licence_is_refused_with_what_to_do() {
        let (license, vendor) = issue();
        let token = license.to_string();
        let other = SigningKey::from_bytes([8; 32]).public_key();
        let refused = |token: &str, keys: &[PublicKey]| License::verify(token, keys).unwrap_err();
        assert_eq!(refused(&token, &[other]), InvalidLicense::NotSigned { keys: 1 });
        assert_eq!(refused(&token, &[]), InvalidLicense::NotSigned { keys: 0 });
        assert!(License::verify(&token, &[other, vendor]).is_ok());
        let long = "x".repeat(1 << 20);
        assert_eq!(refused(&long, &[vendor]), InvalidLicense::TooLong { bytes: 1 << 20 });
        assert_eq!(
            refused(&token.replace("EXO1", "EXO2"), &[vendor]),
            InvalidLicense::OtherVersion
        );
        assert_eq!(refused("", &[vendor]), InvalidLicense::NotAToken);
        assert_eq!(License::inspect(&token), Ok(license.grant().clone()));
        assert_eq!(License::inspect(&token[1..]), Err(InvalidLicense::OtherVersion));
        let vast = Grant { customer: long, ..license.grant().clone() };
        assert_eq!(SigningKey::from_bytes([7; 32]).issue(&vast), Err(InvalidLicense::Names));
    }

    #[test]
    fn what_is_signed_must_make_sense() {
        let read = |payload: &str| Grant::read(&BASE64.encode(payload));
        let id = 7;
        assert!(
            read(&format!(r#"{{"id":"{id}","customer":"a","max_nodes":1,"later":[]}}"#)).is_ok()
        );
        for payload in [
            format!(r#"{{"id":"{id}","id":"{id}","customer":"a","max_nodes":1}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":1,"expires":1,"expires":9}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":1}}}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":4294967296}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":0}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":1,"max_nodes":99}}"#),
            format!(r#"{{"id":"{id}","customer":"a"}}"#),
            format!(r#"{{"id":"{id}","customer":"a","max_nodes":-1}}"#),
            "[]".to_owned(),
        ] {
            let refused = read(&payload);
            assert!(matches!(refused, Err(InvalidLicense::Payload(_))), "{payload}: {refused:?}");
        }
    }
}
