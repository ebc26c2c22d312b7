#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::postgres_copy(data));
