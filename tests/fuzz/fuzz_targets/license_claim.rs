//! What a node tells of its place is refused, or it is read as what it was written.
#![no_main]

use exosphere::proto::licensing::Claim;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(claim) = text.parse::<Claim>() {
        assert_eq!(claim.to_string(), text);
        assert!(text.len() <= 1024);
    }
});
