//! Fuzz target: any bytes as main.cf.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| config::fuzz_main_cf(data));
