//! Whatever stands in a store's files, what is read of them is a beginning of what was written, and
//! nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| exosphere::fuzz::store_recovery(bytes));
