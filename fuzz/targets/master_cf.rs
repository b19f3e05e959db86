//! Fuzz target: any bytes as master.cf.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| config::fuzz_master_cf(data));
