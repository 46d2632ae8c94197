//! Why a text is not a licence.

use thiserror::Error;

use super::License;

/// Why a text is not a licence. Trying again does not help: ask the vendor for the token as it was
/// issued.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InvalidLicense {
    /// It is longer than any token.
    #[error("a licence has at most {max} bytes, and this has {bytes}: is it another file?", max = License::MAX_BYTES)]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// It does not look like one.
    #[error("this is not a licence, or a part of it is missing: it should read EXO1.<...>.<...>")]
    NotAToken,
    /// It is for a later version of this library.
    #[error("this licence is of a form that this version does not know: update the application")]
    OtherVersion,
    /// Nobody who may has signed it.
    #[error(
        "this licence is signed by none of the {keys} keys of the vendor, or was changed since"
    )]
    NotSigned {
        /// How many keys there were.
        keys: usize,
    },
    /// It is signed, and says what makes no sense.
    #[error("what this licence says cannot be understood: {0}")]
    Payload(String),
    /// It allows nothing.
    #[error("a licence is for at least one node")]
    NoNodes,
    /// It would be longer than may be.
    #[error(
        "the names in this licence are too long: a licence has at most {} bytes",
        License::MAX_BYTES
    )]
    Names,
}
