//! Messages cut as Postfix cuts them.

use super::*;

/// `H` or `B` before each key, line ends within shown as `|`.
fn cut(message: &str, mime: bool) -> Vec<String> {
    let mut out = Vec::new();
    let done: Result<(), ()> = walk(message.as_bytes(), mime, &mut |part, key| {
        let letter = if part == Part::Header { 'H' } else { 'B' };
        let key = String::from_utf8_lossy(key).replace('\n', "|");
        out.push(format!("{letter}{key}"));
        Ok(())
    });
    assert_eq!(done, Ok(()));
    out
}

#[test]
fn headers_keep_their_lines_together() {
    assert_eq!(
        cut("A: b\n c\nX : y\n\nbody\n.\n", false),
        ["HA: b| c", "HX: y", "B", "Bbody", "B."]
    );
    assert_eq!(cut("A: b", false), ["HA: b"]);
    assert!(cut("", false).is_empty());
}

#[test]
fn text_among_the_headers_ends_them() {
    assert_eq!(cut("A: b\nno header\nX: y\n", true), ["HA: b", "B", "Bno header", "BX: y"]);
    assert_eq!(cut(" leading\nX: y\n", false), ["B", "B leading", "BX: y"]);
}

#[test]
fn parts_have_headers_with_mime_only() {
    let message =
        "Content-Type: multipart/mixed; boundary=\"b 1\"\n\n--b 1\nX: y\n\nz\n--b 1--\nE: f\n";
    let expected = [
        "HContent-Type: multipart/mixed; boundary=\"b 1\"",
        "B",
        "B--b 1",
        "HX: y",
        "B",
        "Bz",
        "B--b 1--",
        "BE: f",
    ];
    assert_eq!(cut(message, true), expected);
    let headers = cut(message, false).iter().filter(|key| key.starts_with('H')).count();
    assert_eq!(headers, 1);
}

#[test]
fn an_outer_boundary_ends_inner_parts() {
    let message = "Content-Type: multipart/mixed; boundary=a\n\n--a\n\
        Content-Type: (c) Multipart / (x) mixed; boundary=b\n\n--b\nX1: y\n\n--a\nX2: b\n\n--b\nX3: z\n";
    let keys = cut(message, true);
    assert!(keys.contains(&"HX1: y".to_owned()) && keys.contains(&"HX2: b".to_owned()));
    assert!(keys.contains(&"BX3: z".to_owned()));
}

#[test]
fn messages_within_messages_have_headers() {
    let message = "Content-Type: message/rfc822\n\nA: b\nbad\n";
    assert_eq!(cut(message, true), ["HContent-Type: message/rfc822", "B", "HA: b", "Bbad"]);
    let digest = "Content-Type: multipart/digest; boundary=d\n\n--d\n\nA: b\n\nC: d\n";
    assert!(cut(digest, true).contains(&"HA: b".to_owned()));
    let status = "Content-Type: message/delivery-status\n\nA: b\n";
    assert_eq!(cut(status, true)[2], "BA: b");
}
