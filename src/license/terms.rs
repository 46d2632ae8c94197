//! What a node is told about licences.

use std::num::NonZeroU32;

use super::{License, PublicKey};

/// What a node is told about licences when it is built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// Its own licence.
    pub(crate) license: Option<License>,
    /// The vendors whose licences count, beside those of its own.
    pub(crate) vendors: Vec<PublicKey>,
    /// How many nodes may be active without a licence. Without this and a licence, any number.
    pub(crate) unlicensed: Option<NonZeroU32>,
    /// Whether it waits for a place if there is none.
    pub(crate) waits: bool,
}

impl Terms {
    /// Whether there is any limit.
    pub(crate) fn limits(&self) -> bool {
        self.license.is_some() || self.unlicensed.is_some()
    }
}
