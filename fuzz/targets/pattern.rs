//! Fuzz target: any text as a table of patterns, POSIX and Perl.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_pattern(data));
