//! Fuzz target: any bytes as what a sender asks to be told, and as what it is told.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz_dsn(data));
