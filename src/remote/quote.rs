//! Text as data inside queries, by the rules of each server.
//!
//! The templates are the administrator's and may put a key anywhere, mostly between quotes; so keys
//! are escaped into the text, as the libraries of these servers do it, not bound as parameters.
//!
//! **Standards**: mysql_real_escape_string, PQescapeStringConn, sqlite3_mprintf `%q`; RFC 4515
//! section 3 (filters), RFC 4514 section 2.4 (names).

/// MySQL's, where a backslash escapes.
pub(crate) fn mysql(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        let escape = match byte {
            0 => b'0',
            b'\n' => b'n',
            b'\r' => b'r',
            26 => b'Z',
            b'\\' | b'\'' | b'"' => *byte,
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend([b'\\', escape]);
    }
}

/// Standard SQL's: a quote is doubled, nothing else means anything.
pub(crate) fn doubled(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        out.extend(std::iter::repeat_n(*byte, if *byte == b'\'' { 2 } else { 1 }));
    }
}

/// PostgreSQL's without `standard_conforming_strings`: a backslash is doubled too.
pub(crate) fn doubled_with_backslashes(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        out.extend(std::iter::repeat_n(*byte, if b"'\\".contains(byte) { 2 } else { 1 }));
    }
}

/// In an LDAP filter: what could be read as one, and what is not text, in hexadecimal digits.
pub(crate) fn ldap_filter(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0 => hexadecimal(*byte, out),
            _ => out.push(*byte),
        }
    }
}

/// In a distinguished name.
pub(crate) fn ldap_name(text: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in text.iter().enumerate() {
        let at_end = at == 0 || at + 1 == text.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => out.extend([b'\\', *byte]),
            b' ' if at_end => out.extend([b'\\', b' ']),
            b'#' if at == 0 => out.extend([b'\\', b'#']),
            0 => hexadecimal(0, out),
            _ => out.push(*byte),
        }
    }
}

fn hexadecimal(byte: u8, out: &mut Vec<u8>) {
    out.extend(format!("\\{byte:02x}").bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(quote: fn(&[u8], &mut Vec<u8>), text: &str) -> String {
        let mut out = Vec::new();
        quote(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_server_has_its_rules() {
        assert_eq!(quoted(mysql, "o'b\\\"\n\0"), "o\\'b\\\\\\\"\\n\\0");
        assert_eq!(quoted(doubled, "o'b\\"), "o''b\\");
        assert_eq!(quoted(doubled_with_backslashes, "o'b\\"), "o''b\\\\");
        assert_eq!(quoted(ldap_filter, "a*(b)\\ '\u{e9}"), "a\\2a\\28b\\29\\5c '\u{e9}");
        assert_eq!(quoted(ldap_name, " #a,b+c=d "), "\\ #a\\,b\\+c\\=d\\ ");
        assert_eq!(quoted(ldap_name, "#x"), "\\#x");
    }
}
