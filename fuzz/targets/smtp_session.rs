//! Fuzz target: any client against the SMTP server's dialogue.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol::smtp::fuzz_smtp_session(data));
