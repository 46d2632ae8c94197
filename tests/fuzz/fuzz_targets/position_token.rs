//! Any text is either no token, or the one token of a position.
#![no_main]

use exosphere::proto::Position;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(position) = Position::parse_token(text) {
        assert_eq!(position.token(), text);
        assert!(position.iter().count() <= Position::MAX_ORIGINS);
    }
});
