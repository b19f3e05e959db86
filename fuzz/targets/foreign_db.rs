//! Fuzz target: any bytes as a Berkeley DB, LMDB or cdb file.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tables::fuzz_foreign_db(data));
