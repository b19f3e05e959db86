//! Address lists of headers and of the command line, to the internal form of each address.
//!
//! Comments are dropped, groups give their members, a route before a colon within angle brackets is
//! dropped, and words that nothing joins are addresses of their own, as Postfix reads them.
//!
//! **Limits**: none of its own; input is a header or an argument. Unclosed quotes, comments and
//! brackets end with the text.
//! **Standards**: RFC 5322 section 3.4 with its obsolete syntax.

/// A piece of an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// An atom, a quoted string without its quotes, or a domain literal with its brackets.
    Word(Vec<u8>),
    /// One of `<>@,:;.`.
    Special(u8),
}

/// The addresses of `text` in internal form. An empty `<>` is an empty address.
pub fn list(text: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::default();
    for token in tokens(text) {
        reader.take(token);
    }
    reader.end_element();
    reader.found
}

#[derive(Default)]
struct Reader {
    found: Vec<Vec<u8>>,
    /// Addresses of the element being read that no bracket confirmed yet.
    loose: Vec<Vec<u8>>,
    /// The address within angle brackets.
    angle: Option<Vec<u8>>,
    /// Whether the element had angle brackets: its other words are a phrase.
    bracketed: bool,
    /// Whether the next word belongs to the last loose address.
    joined: bool,
}

impl Reader {
    fn take(&mut self, token: Token) {
        if let Some(address) = &mut self.angle {
            match token {
                Token::Special(b'>') => {
                    let address = self.angle.take().unwrap_or_default();
                    self.found.push(address);
                }
                // What was before it is a route.
                Token::Special(b':') => address.clear(),
                Token::Special(byte) => address.push(byte),
                Token::Word(word) => address.extend(word),
            }
            return;
        }
        match token {
            Token::Special(b'<') => {
                self.angle = Some(Vec::new());
                self.bracketed = true;
                self.loose.clear();
            }
            Token::Special(b',' | b';') => self.end_element(),
            // A group's name, or a route without brackets.
            Token::Special(b':') => {
                self.loose.clear();
                self.joined = false;
            }
            Token::Special(byte @ (b'@' | b'.')) => self.join(&[byte]),
            Token::Special(_) => {}
            Token::Word(word) if self.joined => {
                self.join(&word);
                self.joined = false;
            }
            Token::Word(word) => self.loose.push(word),
        }
    }

    /// Adds to the last loose address, or starts one.
    fn join(&mut self, bytes: &[u8]) {
        match self.loose.last_mut() {
            Some(last) => last.extend_from_slice(bytes),
            None => self.loose.push(bytes.to_vec()),
        }
        self.joined = true;
    }

    fn end_element(&mut self) {
        self.found.extend(self.angle.take());
        let loose = std::mem::take(&mut self.loose);
        if !std::mem::take(&mut self.bracketed) {
            self.found.extend(loose);
        }
        self.joined = false;
    }
}

fn tokens(text: &[u8]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => rest = after,
            b'(' => rest = skip_comment(after),
            b'"' => {
                let (word, after) = until(after, b'"');
                out.push(Token::Word(word));
                rest = after;
            }
            b'[' => {
                let (word, after) = until(after, b']');
                out.push(Token::Word([b"[", word.as_slice(), b"]"].concat()));
                rest = after;
            }
            b'<' | b'>' | b'@' | b',' | b':' | b';' | b'.' => {
                out.push(Token::Special(*first));
                rest = after;
            }
            _ => {
                let (word, after) = atom(rest);
                out.push(Token::Word(word));
                rest = after;
            }
        }
    }
    out
}

/// What is before the unquoted `end`, without backslashes, and what follows it.
fn until(text: &[u8], end: u8) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    let mut at = 0;
    while at < text.len() && text[at] != end {
        if text[at] == b'\\' && at + 1 < text.len() {
            at += 1;
        }
        word.push(text[at]);
        at += 1;
    }
    (word, text.get(at + 1..).unwrap_or_default())
}

fn atom(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    let mut at = 0;
    while at < text.len() && !b" \t\r\n()<>@,:;.\"[".contains(&text[at]) {
        if text[at] == b'\\' && at + 1 < text.len() {
            at += 1;
        }
        word.push(text[at]);
        at += 1;
    }
    // A closing parenthesis that opens nothing is skipped.
    (word, &text[at.max(1).min(text.len())..])
}

fn skip_comment(text: &[u8]) -> &[u8] {
    let mut depth = 1;
    let mut at = 0;
    while at < text.len() && depth > 0 {
        match text[at] {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<String> {
        list(text.as_bytes()).into_iter().map(|a| String::from_utf8(a).unwrap()).collect()
    }

    #[test]
    fn lists_are_read_as_postfix_reads_them() {
        assert_eq!(read("a,\n  b (c) <x@y>,"), ["a", "x@y"]);
        assert_eq!(read("\"q z\"@foo, grp: m, n;"), ["q z@foo", "m", "n"]);
        assert_eq!(read("a b"), ["a", "b"]);
        assert_eq!(read("e (com), f"), ["e", "f"]);
        assert_eq!(read("\"a\" <\"x y\"@b>, <@r,@s:z@c>"), ["x y@b", "z@c"]);
        assert_eq!(read("<foo bar@x>"), ["foobar@x"]);
        assert_eq!(read("bob . smith @ [1.2.3.4]"), ["bob.smith@[1.2.3.4]"]);
        assert_eq!(read("<>"), [""]);
        assert_eq!(read(", ,"), Vec::<String>::new());
        assert_eq!(read("undisclosed:;"), Vec::<String>::new());
        assert_eq!(read("a\\ b@c"), ["a b@c"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let total: usize = list(&bytes).iter().map(Vec::len).sum();
            prop_assert!(total <= bytes.len() + 2);
        }
    }
}
