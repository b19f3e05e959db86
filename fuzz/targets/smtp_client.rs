//! Fuzz target: any server against the SMTP client's dialogue.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol::smtp::client::fuzz_smtp_client(data));
