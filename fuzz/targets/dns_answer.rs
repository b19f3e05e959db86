//! Fuzz target: any bytes as the answers of name servers.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| engine::fuzz_dns_answer(data));
