//! How ids of 128 bits are written and read: as 16 bytes, big endian. Where a format has no bytes, as
//! JSON has none, they are 16 numbers.

use std::fmt;

use serde::{Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(bits: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&bits.to_be_bytes())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = u128;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("16 bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<u128, E> {
            let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
            Ok(u128::from_be_bytes(bytes))
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<u128, A::Error> {
            let mut bytes = [0; 16];
            for (at, byte) in bytes.iter_mut().enumerate() {
                let number = numbers.next_element()?;
                *byte = number.ok_or_else(|| de::Error::invalid_length(at, &self))?;
            }
            match numbers.next_element::<u8>()? {
                None => Ok(u128::from_be_bytes(bytes)),
                Some(_) => Err(de::Error::invalid_length(bytes.len() + 1, &self)),
            }
        }
    }
    deserializer.deserialize_bytes(Visitor)
}
