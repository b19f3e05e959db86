//! The entry of the fuzzer.

use alloc::vec::Vec;

use crate::constant::{ConstantDb, put_checksums_right};

/// Any bytes as a database, as they are and with right checksums: no panic, bounded work, whether
/// it verifies or not.
pub fn fuzz_constant_db(data: &[u8]) {
    look_up(data);
    let mut sealed = data.to_vec();
    put_checksums_right(&mut sealed);
    look_up(&sealed);
}

fn look_up(data: &[u8]) {
    let Ok(db) = ConstantDb::open(data) else { return };
    let _verdict = db.verify();
    let keys: Vec<_> = db.iter().take(1000).map(|(key, _)| key).collect();
    for key in keys {
        let _found = db.find(key);
    }
    let _absent = db.find(b"absent");
}
