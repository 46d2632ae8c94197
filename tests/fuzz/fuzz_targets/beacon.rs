//! A datagram is refused, or it is a beacon that seals and opens to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| exosphere::fuzz::beacon(bytes));
