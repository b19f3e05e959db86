//! Fuzz target: any text as an alias file.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_alias(data));
