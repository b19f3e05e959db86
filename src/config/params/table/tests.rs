//! The table: order, uniqueness, and defaults that fit their own kinds.

use std::collections::BTreeSet;
use std::string::ToString;

use super::*;
use crate::{Host, MainCf, Params};

#[test]
fn areas_are_sorted_so_that_find_finds() {
    for (area, rows) in AREAS {
        assert!(rows.is_sorted_by(|a, b| a.name < b.name), "{area}");
    }
    for row in rows() {
        assert_eq!(find(row.name), Some(row));
    }
    assert!(LEGACY.is_sorted());
}

#[test]
fn names_are_unique_and_as_many_as_postfix_has() {
    let names: BTreeSet<_> = rows().map(|row| row.name).collect();
    assert_eq!(names.len(), rows().count());
    // 828 of postconf -C builtin -d and the three that a process sets for itself.
    assert_eq!(names.len(), 831);
}

#[test]
fn every_default_fits_its_kind_at_every_level() {
    for level in ["0", "1", "2", "3.6"] {
        let mut main = MainCf::default();
        main.set("compatibility_level", level);
        let host = Host { hostname: "a.test".to_string(), ..Host::default() };
        let params = Params::new(main, host);
        for row in rows() {
            // virtual(8) refuses to start without it: its default is no valid value.
            let expected = row.name != "virtual_mailbox_base";
            assert_eq!(params.check(row.name).is_ok(), expected, "{}", row.name);
        }
    }
}

#[test]
fn families_fall_back_to_rows_of_the_same_kind_of_value() {
    use crate::params::family::{COMMAND, QUEUE_MANAGER};
    for family in QUEUE_MANAGER.iter().chain(COMMAND) {
        let base = find(family.base).expect(family.base);
        let same = core::mem::discriminant(&base.kind) == core::mem::discriminant(&family.kind);
        assert!(same, "{}", family.suffix);
    }
}
