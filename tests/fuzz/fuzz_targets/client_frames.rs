//! What a client sends after the upgrade reads the same however it is cut, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (chunk_bytes, bytes) = input;
    exosphere::fuzz::client_frames(bytes, usize::from(chunk_bytes).max(1));
});
