//! Any bytes are refused, or they are a licence that the vendor has signed and can issue again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| exosphere::fuzz::license(bytes));
