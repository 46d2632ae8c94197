//! Whatever a member says in gossip is refused, or can be read by who keeps track of members.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| exosphere::fuzz::gossip(data));
