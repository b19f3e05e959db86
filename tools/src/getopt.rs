//! Command-line options as getopt(3) reads them in Postfix's commands.
//!
//! Options end at the first argument that is none, or after `--`; letters may be glued together
//! and an option's value may be glued to its letter.
//!
//! **Diagnostics**: [`BadOption`], worded as getopt(3) words it.

use std::fmt;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its letter.
    pub letter: char,
    /// Its value, for those that take one.
    pub value: Option<String>,
}

/// An option that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOption {
    /// No such letter.
    Unknown(char),
    /// Its value is missing.
    NoValue(char),
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(letter) => write!(f, "invalid option -- '{letter}'"),
            Self::NoValue(letter) => write!(f, "option requires an argument -- '{letter}'"),
        }
    }
}

impl std::error::Error for BadOption {}

/// Splits `args` into options and the rest. `spec` lists the letters, with `:` after one that
/// takes a value.
pub fn parse<'a>(args: &'a [String], spec: &str) -> Result<(Vec<Opt>, &'a [String]), BadOption> {
    let mut options = Vec::new();
    let mut at = 0;
    while let Some(letters) = args.get(at).and_then(|arg| arg.strip_prefix('-')) {
        if letters.is_empty() {
            break;
        }
        at += 1;
        if letters == "-" {
            break;
        }
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let takes_value = takes_value(spec, letter).ok_or(BadOption::Unknown(letter))?;
            if !takes_value {
                options.push(Opt { letter, value: None });
                continue;
            }
            let mut value = rest.as_str().to_owned();
            if value.is_empty() {
                value = args.get(at).ok_or(BadOption::NoValue(letter))?.clone();
                at += 1;
            }
            options.push(Opt { letter, value: Some(value) });
            break;
        }
    }
    Ok((options, &args[at..]))
}

fn takes_value(spec: &str, letter: char) -> Option<bool> {
    let (_, after) = spec.split_once(letter).filter(|_| letter != ':')?;
    Some(after.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn letters_and_values_may_be_glued() {
        let words = args(&["-nc/x", "-o", "a=b", "name", "-h"]);
        let (options, rest) = parse(&words, "c:hno:").unwrap();
        let shown: Vec<_> = options.iter().map(|o| (o.letter, o.value.as_deref())).collect();
        assert_eq!(shown, [('n', None), ('c', Some("/x")), ('o', Some("a=b"))]);
        assert_eq!(rest, ["name", "-h"]);
    }

    #[test]
    fn two_dashes_end_the_options() {
        let words = args(&["-n", "--", "-h"]);
        assert_eq!(parse(&words, "hn").unwrap().1, ["-h"]);
    }

    #[test]
    fn unknown_letters_and_missing_values_are_errors() {
        assert_eq!(parse(&args(&["-Z"]), "c:"), Err(BadOption::Unknown('Z')));
        assert_eq!(parse(&args(&["-:"]), "c:"), Err(BadOption::Unknown(':')));
        assert_eq!(parse(&args(&["-c"]), "c:"), Err(BadOption::NoValue('c')));
    }
}
