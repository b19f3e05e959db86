//! Values that are files (-F): a source names files, the table holds their contents in base64.
//!
//! Used when a table is built and when it is asked. Tables that are no database hold the names
//! themselves; their files are read when the value is.
//!
//! **Diagnostics**: text as Postfix words it; the caller knows what is left out for it.
//! **Standards**: postmap(1), option -F; RFC 4648 section 4.

use std::fs;

/// The alphabet of base64.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes of a bad value that a message shows.
pub(super) const SHOWN: usize = 30;

/// The contents of the files that `value` lists, with a line end between two.
pub(super) fn contents(value: &[u8]) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(value);
    let names = text.split(|c: char| c == ',' || c.is_ascii_whitespace());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(format!("empty pathname list: >>{text}<<'"));
    }
    let read = |name: &&str| {
        fs::read(name).map_err(|error| format!("open {name}: {}", crate::system::reason(&error)))
    };
    let files = names.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(files.join(&b'\n'))
}

/// Base64 without line breaks.
pub(super) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { digit } else { b'=' });
        }
    }
    out
}

/// What [`encode`] has made; nothing for other text.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let groups = text.chunks_exact(4);
    if !groups.remainder().is_empty() {
        return None;
    }
    let last = groups.len().saturating_sub(1);
    for (index, group) in groups.enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && index != last) {
            return None;
        }
        let mut bits = 0;
        for byte in &group[..4 - padding] {
            bits = bits << 6 | ALPHABET.iter().position(|digit| digit == byte)? as u32;
        }
        let bytes = (bits << (6 * padding)).to_be_bytes();
        out.extend_from_slice(&bytes[1..4 - padding]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        for (plain, coded) in [("", ""), ("h", "aA=="), ("he", "aGU="), ("hello", "aGVsbG8=")] {
            assert_eq!(encode(plain.as_bytes()), coded.as_bytes());
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["!!!", "aGV", "====", "aA==aA==", "a=b="] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn files_are_joined_by_line_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("a"), "one").unwrap();
        fs::write(path("b"), "two").unwrap();
        let list = format!("{}, {}", path("a"), path("b"));
        assert_eq!(contents(list.as_bytes()), Ok(b"one\ntwo".to_vec()));
        let missing = format!("open {}: No such file or directory", path("c"));
        assert_eq!(contents(path("c").as_bytes()), Err(missing));
        assert_eq!(contents(b","), Err("empty pathname list: >>,<<'".to_owned()));
    }
}
