//! Fuzz target: any bytes as the replies of a remote server.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol::smtp::fuzz_reply(data));
