//! Reads the numbers, texts and addresses of gossip messages.

use std::net::{IpAddr, SocketAddr};

use bytes::Buf;

use super::precheck::Refusal;

/// What is left of a message. Every read checks that enough is.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn u8(&mut self) -> Result<u8, Refusal> {
        self.0.try_get_u8().map_err(|_| Refusal::Malformed)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Refusal> {
        self.0.try_get_u16_le().map_err(|_| Refusal::Malformed)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Refusal> {
        self.0.try_get_u64_le().map_err(|_| Refusal::Malformed)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Refusal> {
        let length = usize::from(self.u16()?);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Refusal::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Refusal::Malformed)
    }

    pub(super) fn addr(&mut self) -> Result<SocketAddr, Refusal> {
        let short = |_| Refusal::Malformed;
        let ip: IpAddr = match self.u8()? {
            4 => self.0.try_get_u32().map_err(short)?.to_be_bytes().into(),
            6 => self.0.try_get_u128().map_err(short)?.to_be_bytes().into(),
            _ => return Err(Refusal::Malformed),
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
