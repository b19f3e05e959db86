//! Fuzz target: any bytes as what a tcp:, socketmap: or memcache: server answers.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| remote::fuzz_replies(data));
