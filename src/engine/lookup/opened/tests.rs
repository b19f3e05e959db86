//! Tables whose files change, come and go.

use super::*;
use crate::lookup::Opener;
use config::{Host, MainCf, Params};
use std::cell::RefCell;
use tables::catalog::System;
use tables::{Lookup, Table};

thread_local! {
    /// The only file there is: what it was written, and its text.
    static FILE: RefCell<Option<(u64, &'static str)>> = const { RefCell::new(None) };
}

fn system() -> System {
    System {
        read: |path| match FILE.with_borrow(|file| *file) {
            Some((_, text)) if path == "/t" => Ok(text.as_bytes().to_vec()),
            _ => Err("No such file or directory".into()),
        },
        stamp: |path| {
            FILE.with_borrow(|file| *file)
                .filter(|_| path == "/t")
                .map(|(written, text)| [0, 0, text.len() as u64, written])
        },
        ..crate::testing::tables()
    }
}

fn write(written: u64, text: &'static str) {
    FILE.set(Some((written, text)));
}

/// Opens `alias_maps`; what it says of `a`, and what was warned of.
fn open(before: &Tables) -> (Lookup<'static>, Vec<String>, Tables) {
    let text = b"alias_maps = texthash:/t, texthash:/t, inline:{b=2}\n";
    let params = Params::new(MainCf::parse("main.cf", text).unwrap(), Host::default());
    let opener = Opener::new(&params, system(), before.clone()).unwrap();
    let maps = opener.maps(&params, "alias_maps").unwrap();
    let answer = match maps.lookup(b"a") {
        Lookup::Found(value) => Lookup::Found(value.into_owned().into()),
        Lookup::NotFound => Lookup::NotFound,
        Lookup::Retry(why) => Lookup::Retry(why),
    };
    let (said, tables) = opener.finish();
    (answer, said.into_iter().map(|remark| remark.text).collect(), tables)
}

fn found(value: &[u8]) -> Lookup<'static> {
    Lookup::Found(value.to_vec().into())
}

#[test]
fn a_changed_file_is_read_again_and_others_are_not() {
    write(1, "a 1\nlonely\n");
    let (answer, said, tables) = open(&Tables::default());
    assert_eq!((answer, said.len()), (found(b"1"), 1));
    assert_eq!(tables.files().collect::<Vec<_>>(), ["/t"]);
    // The text differs, the stamp does not: it is not read.
    write(1, "a 2\nlonely\n");
    assert_eq!(tables.changed(system().stamp), [""; 0]);
    let (answer, said, tables) = open(&tables);
    // Who asks for it anew says the same of it.
    assert_eq!((answer, said.len()), (found(b"1"), 1));
    write(2, "a 3\n");
    assert_eq!(tables.changed(system().stamp), ["texthash:/t"]);
    assert_eq!(tables.written_in_place(system().stamp), [("/t", [0, 0, 4, 2])]);
    let replaced: fn(&str) -> Option<Stamp> = |_| Some([0, 1, 4, 3]);
    assert_eq!(tables.written_in_place(replaced), []);
    let (answer, said, tables) = open(&tables);
    assert_eq!((answer, said), (found(b"3"), vec![]));
    assert_eq!(tables.changed(system().stamp), [""; 0]);
}

#[test]
fn a_file_that_goes_is_an_error_until_it_comes_back() {
    write(1, "a 1\n");
    let (_, _, tables) = open(&Tables::default());
    FILE.set(None);
    let (answer, said, tables) = open(&tables);
    let why = "open database /t: No such file or directory";
    assert!(matches!(answer, Lookup::Retry(_)));
    assert_eq!(said, [why]);
    let (answer, said, tables) = open(&tables);
    assert!(matches!(answer, Lookup::Retry(_)) && said == [why]);
    write(2, "a 2\n");
    assert_eq!(tables.changed(system().stamp), ["texthash:/t"]);
    assert_eq!(open(&tables).0, found(b"2"));
}
