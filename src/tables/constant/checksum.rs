//! CRC-32C and the hash of keys.
//!
//! **Standards**: CRC-32C as in RFC 3720 section 12.1; FNV-1a, 64 bits.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut out = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        out[byte] = crc;
        byte += 1;
    }
    out
}

/// CRC-32C of `bytes`.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)];
    !bytes.iter().fold(!0, step)
}

/// The hash of a key: where to look, and what to compare first.
pub(super) fn hash(key: &[u8]) -> (u32, u32) {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, step);
    (hash as u32, (hash >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_standards_hold() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(hash(b"a"), (0x8601_ec8c, 0xaf63_dc4c));
    }
}
