//! The text of a table of patterns: rules, `if` and `endif`, values.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::prefilter::Filtering;
use super::{Action, Condition, Pattern, Patterns, Rule, Spans};
use crate::source::{LogicalLine, LogicalLines, keyword, printable, trim};

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(Vec<u8>),
    /// What a parenthesis matched.
    Group(usize),
}

/// Whether a value needs no parenthesis.
pub fn is_plain(parts: &[Part]) -> bool {
    !parts.iter().any(|part| matches!(part, Part::Group(_)))
}

/// The value for a key that was matched so.
pub fn value(parts: &[Part], key: &[u8], spans: &Spans) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Group(group) => {
                if let Some(Some((start, end))) = spans.get(*group) {
                    out.extend_from_slice(&key[*start..*end]);
                }
            }
        }
    }
    out
}

/// A table on its way.
pub struct Reading<'a, P> {
    file: &'a str,
    warn: &'a dyn Fn(String),
    rules: Vec<Rule<P>>,
    filtering: Filtering,
    /// `if`s that have no `endif` yet: their place and line.
    open: Vec<(usize, usize)>,
    /// Whether results may have parts of the key in them.
    substitutes: bool,
}

/// A pattern as it is written.
struct Written<'a, P: Pattern> {
    negated: bool,
    pattern: &'a [u8],
    options: P::Options,
    /// Whether what follows stands right behind the letters.
    goes_on: bool,
    rest: &'a [u8],
}

impl<'a, P: Pattern> Reading<'a, P> {
    /// Nothing read yet.
    pub fn new(file: &'a str, warn: &'a dyn Fn(String)) -> Self {
        let (rules, open) = (Vec::new(), Vec::new());
        Reading { file, warn, rules, filtering: Filtering::default(), open, substitutes: true }
    }

    /// Rules whose results have parts of the key in them are to be left out.
    pub fn without_substitution(self) -> Self {
        Reading { substitutes: false, ..self }
    }

    /// Reads a whole text.
    pub fn read(mut self, text: &[u8]) -> Patterns<P> {
        for line in LogicalLines::new(text).starting_visibly(self.file, self.warn) {
            self.line(&line);
        }
        self.finish()
    }

    fn say(&self, line: usize, what: &str) {
        (self.warn)(format!("{} map {}, line {line}: {what}", P::KIND, self.file));
    }

    /// Reads a line; one that cannot be used is left out.
    fn line(&mut self, line: &LogicalLine) {
        if let Err(why) = self.rule(line) {
            self.say(line.number, &why);
        }
    }

    /// The table.
    fn finish(mut self) -> Patterns<P> {
        for (_, line) in self.open.iter().rev() {
            self.say(*line, "IF has no matching ENDIF");
        }
        let end = self.rules.len();
        for (at, _) in core::mem::take(&mut self.open) {
            self.rules[at].action = Action::If(end);
        }
        Patterns { rules: self.rules, prefilter: self.filtering.build() }
    }

    fn rule(&mut self, line: &LogicalLine) -> Result<(), String> {
        let text = trim(&line.text);
        if let Some(rest) = keyword(text, b"endif") {
            return self.endif(line.number, rest);
        }
        if let Some(rest) = keyword(text, b"if") {
            return self.begin_if(line, rest);
        }
        if text.first().is_none_or(u8::is_ascii_alphanumeric) {
            return Err("ignoring unrecognized request".into());
        }
        let mut written = self.written(line.number, text)?;
        // Letters that are followed by `!` are followed by a second pattern.
        let second = match written.rest {
            [b'!', ..] if written.goes_on => Some(self.written(line.number, written.rest)?),
            _ => None,
        };
        written.rest = second.as_ref().map_or(written.rest, |second| second.rest);
        if written.rest.is_empty() {
            self.say(line.number, "no replacement text: using empty string");
        }
        let parts = self.parts(line.number, &written)?;
        let condition = written.compile()?;
        in_range(&parts, condition.pattern.groups())?;
        let second = second.map(|second| second.compile()).transpose()?;
        let action = Action::Result(parts);
        self.add(&written, Rule { condition, second, action, line: line.number });
        Ok(())
    }

    fn endif(&mut self, line: usize, rest: &[u8]) -> Result<(), String> {
        let (at, _) = self.open.pop().ok_or("ignoring ENDIF without matching IF")?;
        if !rest.is_empty() {
            self.say(line, "ignoring extra text after ENDIF");
        }
        self.rules[at].action = Action::If(self.rules.len());
        Ok(())
    }

    fn begin_if(&mut self, line: &LogicalLine, rest: &[u8]) -> Result<(), String> {
        if rest.is_empty() {
            return Err("no regexp: skipping this rule".into());
        }
        let written = self.written(line.number, rest)?;
        if !written.rest.is_empty() {
            let extra = printable(written.rest);
            self.say(line.number, &format!("ignoring extra text after IF statement: \"{extra}\""));
            let advice = "do not prepend whitespace to statements between IF and ENDIF";
            self.say(line.number, advice);
        }
        let condition = written.compile()?;
        self.open.push((self.rules.len(), line.number));
        let action = Action::If(0);
        self.add(&written, Rule { condition, second: None, action, line: line.number });
        Ok(())
    }

    fn add(&mut self, written: &Written<'_, P>, rule: Rule<P>) {
        // An `if` decides about others, and what is negated holds where nothing is found.
        let always = rule.condition.negated || matches!(rule.action, Action::If(_));
        let syntax = |case| match always {
            true => None,
            false => P::syntax(written.pattern, &written.options, case),
        };
        self.filtering.add(self.rules.len(), syntax);
        self.rules.push(rule);
    }

    fn written<'t>(&self, line: usize, text: &'t [u8]) -> Result<Written<'t, P>, String> {
        written(text, &mut |text| self.say(line, &text))
    }

    fn parts(&self, line: usize, written: &Written<'_, P>) -> Result<Vec<Part>, String> {
        let mut wrong = Vec::new();
        let parts = parts(written.rest, &mut wrong);
        let refers = !wrong.is_empty() || !is_plain(&parts);
        if refers && !self.substitutes {
            let what = "regular expression substitution is not allowed";
            return Err(format!("{what}: skipping this rule"));
        }
        for bad in &wrong {
            self.complain(line, bad, written.rest);
        }
        if !wrong.is_empty() {
            return Err("bad replacement syntax: skipping this rule".into());
        }
        if refers && written.negated {
            let what = "$number found in negative match replacement text";
            return Err(format!("{what}: skipping this rule"));
        }
        Ok(parts)
    }

    fn complain(&self, line: usize, bad: &BadValue<'_>, value: &[u8]) {
        let value = printable(value);
        match bad {
            BadValue::Truncated => (self.warn)(format!("truncated macro reference: \"{value}\"")),
            BadValue::Empty => (self.warn)(format!("empty macro name: \"{value}\"")),
            BadValue::Zero => {
                self.say(line, &format!("{} replacement index \"0\"", P::OUT_OF_RANGE));
            }
            BadValue::Name(name) => {
                let name = printable(name);
                self.say(line, &format!("non-numeric replacement index \"{name}\""));
            }
        }
    }
}

impl<P: Pattern> Written<'_, P> {
    fn compile(&self) -> Result<Condition<P>, String> {
        let pattern = P::compile(self.pattern, &self.options)?;
        Ok(Condition { pattern, negated: self.negated })
    }
}

/// Whether the pattern has all parentheses that its value names; the highest is told.
fn in_range(parts: &[Part], groups: usize) -> Result<(), String> {
    let group = |part: &Part| match part {
        Part::Group(group) => Some(*group),
        Part::Text(_) => None,
    };
    match parts.iter().filter_map(group).max() {
        Some(highest) if highest > groups => {
            Err(format!("out of range replacement index \"{highest}\": skipping this rule"))
        }
        _ => Ok(()),
    }
}

fn written<'a, P: Pattern>(
    text: &'a [u8],
    warn: &mut dyn FnMut(String),
) -> Result<Written<'a, P>, String> {
    let (mut rest, mut negated) = (text, false);
    while let [b'!', more @ ..] = rest {
        negated = !negated;
        rest = more.trim_ascii_start();
    }
    let [delimiter, rest @ ..] = rest else { return Err("no regexp: skipping this rule".into()) };
    let Some(end) = pattern_end(rest, *delimiter, P::HAS_OLD_FORMS) else {
        let delimiter = printable(&[*delimiter]);
        return Err(format!(
            "no closing regexp delimiter \"{delimiter}\": {} this rule",
            P::UNCLOSED
        ));
    };
    let behind = &rest[end + 1..];
    let ends = |byte: &u8| byte.is_ascii_whitespace() || P::HAS_OLD_FORMS && *byte == b'!';
    let (options, value) = behind.split_at(behind.iter().position(ends).unwrap_or(behind.len()));
    let options = P::options(options, warn)?;
    let goes_on = value.starts_with(b"!");
    let (pattern, rest) = (&rest[..end], value.trim_ascii_start());
    Ok(Written { negated, pattern, options, goes_on, rest })
}

/// Where the delimiter stands that no backslash is before, or the backslash that is last.
fn pattern_end(text: &[u8], delimiter: u8, or_last_backslash: bool) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' if or_last_backslash && at + 1 == text.len() => return Some(at),
            b'\\' => at += 1,
            byte if byte == delimiter => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

enum BadValue<'a> {
    Truncated,
    Empty,
    Name(&'a [u8]),
    Zero,
}

/// The parts of a value; what is wrong with it is told, and the rest looked at as far as its
/// references can be told apart.
fn parts<'a>(text: &'a [u8], wrong: &mut Vec<BadValue<'a>>) -> Vec<Part> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        add_text(&mut out, &rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let [b'$', more @ ..] = rest {
            add_text(&mut out, b"$");
            rest = more;
            continue;
        }
        let (name, more) = match reference(rest) {
            Ok(found) => found,
            Err(bad) => {
                wrong.push(bad);
                return out;
            }
        };
        match number(name) {
            None => wrong.push(BadValue::Name(name)),
            Some(0) => wrong.push(BadValue::Zero),
            Some(group) => out.push(Part::Group(group)),
        }
        rest = more;
    }
    add_text(&mut out, rest);
    out
}

/// A number as C's atoi(3) has it: what does not fit goes around.
fn number(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    // A negative one is out of range as well.
    let wrapped = digits.iter().fold(0, add) as i32;
    Some(usize::try_from(wrapped).unwrap_or(usize::MAX))
}

/// Where the brace that is open closes, past pairs of the same kind.
fn closing(text: &[u8], open: u8, close: u8) -> Option<usize> {
    let mut depth = 0u32;
    text.iter().position(|byte| {
        depth += u32::from(*byte == open);
        let ends = *byte == close && depth == 0;
        depth = depth.saturating_sub(u32::from(*byte == close));
        ends
    })
}

/// The name behind a dollar sign, and what follows it.
fn reference(text: &[u8]) -> Result<(&[u8], &[u8]), BadValue<'_>> {
    let braces = match text.first() {
        Some(b'{') => Some((b'{', b'}')),
        Some(b'(') => Some((b'(', b')')),
        _ => None,
    };
    if let Some((open, close)) = braces {
        let inner = &text[1..];
        let end = closing(inner, open, close).ok_or(BadValue::Truncated)?;
        let (name, rest) = (&inner[..end], &inner[end + 1..]);
        return if name.is_empty() { Err(BadValue::Empty) } else { Ok((name, rest)) };
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match text.iter().position(|byte| !is_name(byte)).unwrap_or(text.len()) {
        0 => Err(BadValue::Empty),
        end => Ok(text.split_at(end)),
    }
}

fn add_text(parts: &mut Vec<Part>, text: &[u8]) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.extend_from_slice(text),
        _ => parts.push(Part::Text(text.to_vec())),
    }
}
