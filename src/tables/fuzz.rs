//! The entry of the fuzzer.

use alloc::vec::Vec;

use crate::constant::ConstantDb;

/// Any bytes as a database: no panic, bounded work, whether it verifies or not.
pub fn fuzz_constant_db(data: &[u8]) {
    let Ok(db) = ConstantDb::open(data) else { return };
    let _verdict = db.verify();
    let keys: Vec<_> = db.iter().take(1000).map(|(key, _)| key).collect();
    for key in keys {
        let _found = db.find(key);
    }
    let _absent = db.find(b"absent");
}
