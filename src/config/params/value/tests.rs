//! Values: what Postfix 3.7 accepts and says.

use super::*;

#[test]
fn times_are_numbers_with_a_unit() {
    assert_eq!(seconds("5", b'h'), Some(18_000));
    assert_eq!(seconds("1h30m", b's'), Some(3600));
    assert_eq!(seconds("1sxyz", b'h'), Some(1));
    assert_eq!(seconds("2w", b's'), Some(1_209_600));
    for bad in ["", "5x", "-1", "5 s", "5S", "s", "99999999999", "9999999w"] {
        assert_eq!(seconds(bad, b's'), None, "{bad}");
    }
}

#[test]
fn numbers_may_have_a_sign_and_must_fit() {
    let int = Kind::Int { min: 0, max: 0 };
    assert_eq!(typed(int, " +5", b's'), Ok(Typed::Int(5)));
    for bad in ["", "x", "0x10", "5 ", "99999999999"] {
        assert_eq!(typed(int, bad, b's'), Err(Reason::Numeric), "{bad}");
    }
    assert_eq!(typed(int, "-5", b's'), Ok(Typed::Int(0)));
    let long = Kind::Long { min: 0 };
    assert_eq!(typed(long, "99999999999", b's'), Ok(Typed::Int(99_999_999_999)));
    assert_eq!(typed(long, "99999999999999999999", b's'), Err(Reason::Numeric));
}

#[test]
fn switches_are_yes_or_no_in_any_case() {
    assert_eq!(typed(Kind::Bool, "YES", b's'), Ok(Typed::Bool(true)));
    assert_eq!(typed(Kind::Bool, "no", b's'), Ok(Typed::Bool(false)));
    for bad in ["", "1", "maybe", "true"] {
        assert_eq!(typed(Kind::Bool, bad, b's'), Err(Reason::Boolean));
    }
}

#[test]
fn braces_keep_words_together() {
    assert_eq!(split(" a,b\n{ c, d {e} } ,f"), ["a", "b", "{ c, d {e} }", "f"]);
}
