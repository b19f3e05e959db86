//! What postmap(1) of Postfix 3.7.11 was seen to do.

use alloc::string::ToString;
use alloc::vec;

use super::*;

/// A key and its value.
type Pair = Result<(String, String), BadLine>;

fn read(text: &str) -> Vec<(usize, Pair)> {
    let show = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let lines = LogicalLines::new(text.as_bytes());
    lines
        .map(|line| {
            let found = entry(&line, true);
            (line.number, found.map(|entry| (show(entry.key), show(entry.value))))
        })
        .collect()
}

fn ok(key: &str, value: &str) -> Pair {
    Ok((key.to_string(), value.to_string()))
}

#[test]
fn comments_and_empty_lines_do_not_end_a_logical_line() {
    let text = "\n# x\n  # y\nfoo\n\n\n  bar\nbaz\n  #x\n  zip\n   \n  zap";
    assert_eq!(read(text), [(4, ok("foo", "bar")), (8, ok("baz", "zip  zap"))]);
}

#[test]
fn a_key_may_be_quoted_and_keeps_its_quotes() {
    let text = "\"a b\" c\n\"a \\\"x\" d\nx\" y\" z\na\\ b c\n\"a b\n";
    let found = vec![
        (1, ok("\"a b\"", "c")),
        (2, ok("\"a \\\"x\"", "d")),
        (3, ok("x\" y\"", "z")),
        (4, ok("a\\ b", "c")),
        (5, Err(BadLine::Unbalanced)),
    ];
    assert_eq!(read(text), found);
}

#[test]
fn what_cannot_be_used_is_said_with_file_and_line() {
    let warning = |text: &[u8]| {
        let line = LogicalLines::new(text).next().unwrap();
        entry(&line, true).unwrap_err().warning("t", &line)
    };
    assert_eq!(warning(b"#\nkey4\n"), "t, line 2: expected format: key whitespace value");
    assert_eq!(
        warning(b"  a 1\n  b 2\n"),
        "t: logical line must not start with whitespace: \"  a 1  b 2\""
    );
    assert_eq!(
        warning(b"\xff\xfe 3\n"),
        "t, line 1: non-UTF-8 input \"?? 3\" -- ignoring this line"
    );
    assert_eq!(warning(b"\"a\tb\n"), "t, line 1: unbalanced '\"' in '\"a?b' -- ignoring this line");
}

#[test]
fn a_nul_byte_ends_a_line_and_white_space_at_its_end_goes() {
    let lines: Vec<_> = LogicalLines::new(b"a 1\0x\nb 2 \r\n").collect();
    assert_eq!(entry(&lines[0], true).unwrap().value, b"1");
    assert_eq!(entry(&lines[1], true).unwrap().value, b"2");
}
