//! Expansion: what Postfix 3.7's postconf -x prints for the same text, and properties.

use proptest::prelude::*;
use std::string::ToString;

use super::*;

fn value_of(name: &str) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match name {
        "set" => "yes",
        "empty" => "",
        "und" => "$nosuch",
        "self" => "$self",
        "l1" => "$l2",
        "l2" => "x $l1",
        _ => return None,
    }))
}

fn run(text: &str) -> Result<String, String> {
    expand(text, &value_of).map_err(|error| error.to_string())
}

#[test]
fn references_and_conditions_expand_as_in_postfix() {
    let cases = [
        ("a$$b", "a$b"),
        ("${set}tail$(set).$set-x$empty", "yestailyes.yes-x"),
        ("$set[$und]", "yes[]"),
        ("${set?{a}:{b}} ${empty?{a} : {b}}", "a b"),
        ("${set?a:b}", "a:b"),
        ("${empty:a:b}", "a:b"),
        ("${set? a }X", " a X"),
        ("${set?{ a }}X", " a X"),
        ("${set?{a}:b}", "a"),
        ("${set ?{a}} ${ set } ${set? {a}}", "a yes a"),
        ("${set?{a}}}", "a}"),
        ("${und?x}y", "xy"),
        ("${set?{${empty:{deep}}}}", "deep"),
        ("${set:$} ${empty?{$}}", " "),
        ("a}b{c", "a}b{c"),
    ];
    for (text, expected) in cases {
        assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn comparisons_are_numeric_for_digits_and_textual_otherwise() {
    let cases = [
        ("${{$set} == {yes}}", "true"),
        ("${{$set} == {no}}", ""),
        ("${{$set} != {yes} : {equal}}", "equal"),
        ("${{ yes } == {yes} ? {a} : {b}}", "b"),
        ("${{07} == {7} ? {a} : {b}}", "a"),
        ("${{10} < {9} ? {a} : {b}}", "b"),
        ("${{10} > {9x} ? {a} : {b}}", "b"),
        ("${{-7} < {-3} ? {a} : {b}}", "b"),
        ("${{3.10} <level {3.9} ? {a} : {b}}", "b"),
        ("${{3} ==level {3.0.0}?{a}:{b}}", "a"),
        ("${{1}<level{2}?{a}}", "a"),
    ];
    for (text, expected) in cases {
        assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn errors_are_worded_as_in_postfix() {
    let cases = [
        ("${a", "truncated macro reference: \"${a\""),
        ("$(set}", "truncated macro reference: \"$(set}\""),
        ("$set$", "empty macro name: \"$set$\""),
        ("${}", "empty macro name: \"${}\""),
        ("${x y}", "attribute name syntax error at: \"...x>>> y\""),
        ("${n_${set}}", "attribute name syntax error at: \"...n_>>>${set}\""),
        ("${set?{a}b}", "\":\" expected at: \"...a}>>>b\""),
        ("${empty:{a}:{b}}", "unexpected input at: \"...a}>>>:{b}\""),
        ("${{a} == {a} x}", "\"?\" or \":\" expected at: \"...}>>>x\""),
        ("${{a} <lev {2}}", "bad operator suffix at: \"...<>>>lev\""),
        ("${{$set} == yes ? {a}}", "\"{expression}\" expected at: \"...{$set} ==>>> yes ? {a}\""),
        (
            "${{a} ~ {b} ? {c}}",
            "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \
             \"...a}>>>~ {b} ? {c}\"",
        ),
        ("$(set?{a)", "unbalanced {} in attribute expression: \"{a\""),
        ("${{x} <level {3}}", "malformed compatibility level syntax: \"x\""),
    ];
    for (text, expected) in cases {
        assert_eq!(run(text), Err(expected.to_string()), "{text}");
    }
}

#[test]
fn loops_are_errors_that_name_a_parameter() {
    assert_eq!(run("$self"), Err("unreasonable macro call nesting: \"self\"".to_string()));
    assert_eq!(run("$l1"), Err("unreasonable macro call nesting: \"l2\"".to_string()));
}

#[test]
fn fan_out_is_bounded() {
    let doubling = |name: &str| {
        let n: u32 = name.strip_prefix('a')?.parse().ok()?;
        Some(Cow::Owned(alloc::format!("$a{0}$a{0}", n + 1))).filter(|_| n < 90)
    };
    assert_eq!(expand("$a0", &doubling), Err(ExpandError::TooLarge));
}

/// What postconf of Postfix 3.7 says about a parameter of this value that is not its own: the names
/// it calls undefined, and its warnings.
#[test]
fn a_scan_names_every_branch_up_to_what_is_wrong() {
    let cases: [(&str, &str, &[&str]); 21] = [
        ("$a ${b?{$c}:{$d}} ${{$e} == {x} ? {$f}} $$g", "a b c d e f", &[]),
        ("$a ${x", "a", &["truncated macro reference: \"$a ${x\""]),
        ("$a ${b!} $c", "a", &["attribute name syntax error at: \"...b>>>!\""]),
        ("${$a}", "", &["attribute name syntax error at: \"...>>>$a\""]),
        ("${a?{$b} $c} $d", "a b", &["\":\" expected at: \"...$b}>>>$c\""]),
        ("${a?{$b}:{$c}x}", "a b c", &["unexpected input at: \"...$c}>>>x\""]),
        ("${a:{$b}?{$c}}", "a b", &["unexpected input at: \"...$b}>>>?{$c}\""]),
        ("${{$a}==x}", "", &["bad operator suffix at: \"...==>>>x\""]),
        ("${{$a}=={$b}x}", "a b", &["\"?\" or \":\" expected at: \"...}>>>x\""]),
        ("${{$a}=={$b}?{$c}x}", "a b c", &["\":\" expected at: \"...$c}>>>x\""]),
        ("${{$}=={$b}?{$c}} $d", "b", &["empty macro name: \"$\""]),
        ("${{$a$}=={$b$}x}", "a b", &["empty macro name: \"$a$\"", "empty macro name: \"$b$\""]),
        ("${{$a}=={$b}?{$}} $d", "a b", &["empty macro name: \"$\""]),
        ("${a?${b?${c?${}}}}", "a b c", &["empty macro name: \"${}\""]),
        ("${a?{$b}:$c$}", "a b c", &["empty macro name: \"$c$\""]),
        (
            "${a?{$b$}:{$c$}x}",
            "a b",
            &[
                "empty macro name: \"$b$\"",
                "empty macro name: \"$c$\"",
                "unexpected input at: \"...$c$}>>>x\"",
            ],
        ),
        (
            "${a?{$b$} $c}",
            "a b",
            &["empty macro name: \"$b$\"", "\":\" expected at: \"...$b$}>>>$c\""],
        ),
        ("$(a?{$b)", "a", &["unbalanced {} in attribute expression: \"{$b\""]),
        ("$(a?{$b}:{$c)", "a b", &["unbalanced {} in attribute expression: \"{$c\""]),
        ("$({$a}=={$b)", "", &["unbalanced {} in attribute expression: \"{$b\""]),
        ("$({$a}=={$b}?{$c)", "a b", &["unbalanced {} in attribute expression: \"{$c\""]),
    ];
    for (text, names, errors) in cases {
        let found = scan(text);
        let errors_found: std::vec::Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let names_found: std::vec::Vec<_> = found.names.into_iter().collect();
        assert_eq!(names_found.join(" "), names, "{text}");
        assert_eq!(errors_found, errors, "{text}");
    }
}

proptest! {
    #[test]
    fn text_without_dollar_is_unchanged(text in "[^$]{0,60}") {
        prop_assert_eq!(run(&text), Ok(text));
    }

    #[test]
    fn any_text_expands_or_is_refused(text in "[$(){}?:=<> a-c]{0,60}") {
        let values = |name: &str| (name == "a").then(|| Cow::Owned(text.clone()));
        if let Ok(out) = expand(&text, &values) {
            prop_assert!(out.len() <= MAX_EXPANDED);
        }
        if scan(&text).errors.is_empty() {
            let syntax = expand(&text, &|_| None).err().map(|error| error.to_string());
            prop_assert_eq!(syntax, None);
        }
    }
}
