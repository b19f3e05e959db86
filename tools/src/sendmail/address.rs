//! Address lists of headers and of the command line, to the internal form of each address.
//!
//! **Limits**: none of its own; input is a header or an argument.
//! **Standards**: RFC 5322 section 3.4 with its obsolete syntax.

use mail::tok822::AddressList;

/// The addresses of `text` in internal form, routes kept. An empty `<>` is an empty address.
pub fn list(text: &[u8]) -> Vec<Vec<u8>> {
    let list = AddressList::parse(text, usize::MAX);
    list.addresses().map(|address| address.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        list(text.as_bytes()).into_iter().map(|a| String::from_utf8(a).unwrap()).collect()
    }

    #[test]
    fn lists_are_read_as_postfix_reads_them() {
        assert_eq!(read("a,\n  b (c) <x@y>,"), ["a", "x@y"]);
        assert_eq!(read("\"q z\"@foo, grp: m, n;"), ["q z@foo", "m", "n"]);
        assert_eq!(read("a b"), ["a", "b"]);
        assert_eq!(read("e (com), f"), ["e", "f"]);
        assert_eq!(read("\"a\" <\"x y\"@b>, <@r,@s:z@c>"), ["x y@b", "@r,@s:z@c"]);
        assert_eq!(read("<foo bar@x>"), ["foobar@x"]);
        assert_eq!(read("bob . smith @ [1.2.3.4]"), ["bob.smith@[1.2.3.4]"]);
        assert_eq!(read("<>"), [""]);
        assert_eq!(read(", ,"), Vec::<String>::new());
        assert_eq!(read("undisclosed:;"), Vec::<String>::new());
        assert_eq!(read("a\\ b@c"), ["a b@c"]);
    }
}
