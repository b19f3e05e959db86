//! Every type of table by its name, and what is said of one that cannot be opened.

use alloc::string::ToString;
use alloc::vec;
use core::cell::RefCell;

use super::*;
use crate::constant::encode;

fn read(path: &str) -> Result<Vec<u8>, String> {
    match path {
        "/t" => Ok(b"One first\nlonely\nOne second\nkey: value\n".to_vec()),
        "/d.db" => {
            let entries = Entries::from([(b"k".to_vec(), b"v".to_vec())]);
            encode(&entries).map_err(|error| error.to_string())
        }
        "/damaged.db" => Ok(vec![0; 64]),
        "/cidr" => Ok(b"10.0.0.0/8 ten\n".to_vec()),
        "/raw" => Ok(b"10.0.0.0/8 \xff\n".to_vec()),
        "/etc/passwd" => Ok(b"alice:x:1:1::/home/alice:/bin/sh\n".to_vec()),
        _ => Err("No such file or directory".into()),
    }
}

fn system() -> System {
    System {
        read,
        stamp: |_| None,
        variable: |name| (name == b"home").then(|| b"/here".to_vec()),
        random: || 0,
        remote: no_remote,
    }
}

/// The table, or the error; and what was said.
fn open(name: &str) -> (Result<Opened, String>, Vec<String>) {
    let said = RefCell::new(Vec::new());
    let catalog = Catalog {
        system: system(),
        folding: Folding::Utf8,
        utf8: true,
        default_type: "hash",
        proxied: &["proxy:hash:/d".to_owned()],
        sensitive: false,
        verbatim: false,
        parameters: &|_| None,
        warn: &|text| said.borrow_mut().push(text),
        reads: &|_| {},
    };
    let opened = Name::of_table(name, "hash").and_then(|name| catalog.open(name));
    (opened.map_err(|bad| bad.0), said.into_inner())
}

fn find(name: &str, key: &str) -> Option<Vec<u8>> {
    match open(name).0.unwrap().table().lookup(key.as_bytes()) {
        Lookup::Found(value) => Some(value.into_owned()),
        Lookup::NotFound => None,
        Lookup::Retry(why) => panic!("{name}: {why}"),
    }
}

#[test]
fn every_type_answers() {
    for (name, key, value) in [
        ("hash:/d", "K", "v"),
        ("/d", "k", "v"),
        ("btree:/d", "k", "v"),
        ("proxy:hash:/d", "k", "v"),
        ("texthash:/t", "ONE", "first"),
        ("inline:{a=1, a=2}", "A", "2"),
        ("cidr:/cidr", "10.1.1.1", "ten"),
        ("cidr:{ {10.0.0.0/24 x} {!10.0.0.0/8 y} }", "192.0.2.1", "y"),
        ("static:yes", "anything", "yes"),
        ("environ:", "HOME", "/here"),
        ("randmap:{x, y}", "anything", "x"),
        ("unionmap:{static:a, static:b}", "k", "a,b"),
        ("pipemap:{static:k, hash:/d}", "anything", "v"),
        ("unix:passwd.byname", "alice", "alice:x:1:1::/home/alice:/bin/sh"),
    ] {
        // A name with an empty path is none; `environ:` takes any.
        let name = if name == "environ:" { "environ:x" } else { name };
        assert_eq!(find(name, key).as_deref(), Some(value.as_bytes()), "{name}");
    }
    assert_eq!(find("hash:/d", "absent"), None);
    assert_eq!(find("internal:x", "k"), None);
}

#[test]
fn what_cannot_be_opened_says_why() {
    for (name, why) in [
        ("hash:/none", "open database /none.db: No such file or directory"),
        ("hash:/damaged", "open database /damaged.db: unexpected file type or format"),
        ("texthash:/none", "open database /none: No such file or directory"),
        ("nosuch:/x", "unsupported dictionary type: nosuch"),
        ("proxy:hash:/other", "proxymap service is not configured for table \"hash:/other\""),
        ("unionmap:x", "bad syntax: \"unionmap:x\"; need \"unionmap:{type:name...}\""),
        ("unix:shadow", "unknown table: unix:shadow"),
        (
            "unionmap:{static:}",
            "open dictionary: expecting \"type:name\" form instead of \"static:\"",
        ),
        ("regexp:{/x/ y}", "regexp map: no '{' at start of text in \"/x/\""),
        ("pcre:{{/x/ y}", "pcre map: missing '}' in \"{{/x/ y}\""),
        ("cidr:{{::1 y}z}", "cidr map: syntax error after '}' in \"{::1 y}z\""),
    ] {
        assert_eq!(open(name).0.unwrap_err(), why, "{name}");
    }
    let deep =
        (0..=NESTING_MAX).fold("static:x".to_owned(), |inner, _| format!("unionmap:{{{inner}}}"));
    assert!(open(&deep).0.unwrap_err().starts_with("tables are nested too deeply: "));
}

#[test]
fn only_text_is_a_key_or_a_value() {
    let ask = |name: &str, key: &[u8]| {
        let opened = open(name).0.unwrap();
        let answer = opened.table().lookup(key);
        (answer == Lookup::NotFound, matches!(answer, Lookup::Retry(_)))
    };
    assert_eq!(ask("static:x", b"\xff"), (true, false));
    assert_eq!(ask("regexp:{{!/x/ y}}", b"\xff"), (true, false));
    assert_eq!(ask("texthash:/t", b"one"), (false, false));
    assert_eq!(ask("cidr:/raw", b"10.1.1.1"), (false, true));
    assert_eq!(ask("unionmap:{cidr:/raw}", b"10.1.1.1"), (false, true));
}

#[test]
fn lines_of_a_text_that_are_left_out_are_named() {
    let (_, said) = open("texthash:/t");
    let expected = [
        "/t, line 2: expected format: key whitespace value -- ignoring this line",
        "/t, line 3: duplicate entry: \"One\"",
        "/t, line 4: record is in \"key: value\" format; is this an alias file?",
    ];
    assert_eq!(said, expected);
}

#[test]
fn where_answers_are_sensitive_nobody_on_the_network_gives_them_however_deep_it_stands() {
    let catalog = Catalog {
        system: system(),
        folding: Folding::Utf8,
        utf8: true,
        default_type: "hash",
        proxied: &[],
        sensitive: true,
        verbatim: false,
        parameters: &|_| None,
        warn: &|_| {},
        reads: &|_| {},
    };
    let open = |name: &str| Name::of_table(name, "hash").and_then(|name| catalog.open(name));
    for name in ["tcp:h:1", "unionmap:{inline:{a=b},tcp:h:1}", "proxy:tcp:h:1"] {
        let why = open(name).unwrap_err().0;
        assert_eq!(why, "tcp:h:1 map is not allowed for security sensitive data", "{name}");
    }
    let pattern = open("pipemap:{inline:{a=b},pcre:{{/(b)/ $1}}}").unwrap();
    assert_eq!(pattern.table().lookup(b"a"), Lookup::NotFound);
    // No list of tables that may be read by way of proxymap(8) is asked.
    let direct = open("proxy:inline:{a=b}").unwrap();
    assert_eq!(direct.table().lookup(b"a"), Lookup::Found(Cow::Borrowed(b"b")));
}

#[test]
fn all_types_that_are_listed_are_known() {
    assert!(TYPES.is_sorted());
    assert!(REMOTE.iter().all(|kind| TYPES.contains(kind)));
    for kind in TYPES.iter().filter(|kind| !REMOTE.contains(kind)) {
        if let Err(why) = open(&format!("{kind}:/d")).0 {
            assert!(!why.contains("unsupported dictionary type"), "{kind}: {why}");
        }
    }
}
