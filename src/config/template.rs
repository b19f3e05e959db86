//! Templates of non-delivery notices: what bounce(5) calls `bounce_template_file`.
//!
//! postconf(1) shows them (-t) and what they become (-b). The text of the built-in ones is what
//! Postfix sends, since programs recognise it.
//!
//! **Diagnostics**: warnings in Postfix's words, each once; [`BadTemplate`] where a text cannot be
//! expanded.
//! **Standards**: bounce(5) of Postfix 3.7.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::expand::{self, ExpandError};
use crate::line::trim;
use crate::main_cf::split_name_value;
use crate::params::{BadValue, Params};

/// Lifetimes that a template may name in a unit: `delay_warning_time_hours`.
static TIMES: &[&str] = &["delay_warning_time", "maximal_queue_lifetime"];
/// The units, in seconds.
static UNITS: &[(&str, u64)] =
    &[("_seconds", 1), ("_minutes", 60), ("_hours", 3600), ("_days", 86_400), ("_weeks", 604_800)];

/// One notice's headers and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `failure`, `delay`, `success`, `verify`.
    pub class: &'static str,
    /// The character set of headers and text.
    pub charset: String,
    /// The From header.
    pub from: String,
    /// The Subject header.
    pub subject: String,
    /// The Subject of the postmaster's copy, for those that have one.
    pub postmaster_subject: Option<String>,
    /// The lines of the text.
    pub text: Vec<String>,
    /// The file it is from; empty for a built-in one.
    pub file: String,
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTemplate {
    /// A `$name` without a value; the template's origin and class, and the line.
    Undefined(String, &'static str, String),
    /// The line's `$` cannot be understood; as before, and why.
    Syntax(String, &'static str, String, Box<ExpandError>),
    /// A parameter that it needs is wrong.
    Value(BadValue),
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined(file, class, line) => {
                write!(f, "{file}: undefined $name in {class} template: {line}")
            }
            Self::Syntax(file, class, line, _) => {
                write!(f, "{file}: bad $name syntax in {class} template: {line}")
            }
            Self::Value(bad) => bad.fmt(f),
        }
    }
}

impl core::error::Error for BadTemplate {}

const FAILURE: &str = include_str!("template/failure.txt");
const DELAY: &str = include_str!("template/delay.txt");
const SUCCESS: &str = include_str!("template/success.txt");
const VERIFY: &str = include_str!("template/verify.txt");

/// The built-in templates, in the order in which they are shown.
pub fn defaults() -> Vec<Template> {
    let built_in = |class, subject: &str, copy: Option<&str>, text: &str| Template {
        class,
        charset: "us-ascii".into(),
        from: "Mail Delivery System <MAILER-DAEMON>".into(),
        subject: subject.into(),
        postmaster_subject: copy.map(Into::into),
        text: text.lines().map(Into::into).collect(),
        file: String::new(),
    };
    let copy = Some("Postmaster Copy: Undelivered Mail");
    let warning = Some("Postmaster Warning: Delayed Mail");
    [
        built_in("failure", "Undelivered Mail Returned to Sender", copy, FAILURE),
        built_in("delay", "Delayed Mail (still being retried)", warning, DELAY),
        built_in("success", "Successful Mail Delivery Report", None, SUCCESS),
        built_in("verify", "Mail Delivery Status Report", None, VERIFY),
    ]
    .into()
}

/// The templates of a file over the built-in ones; what is left out is told to `warn`.
///
/// # Errors
/// A line is not `name = value`, in Postfix's words.
pub fn parse(
    file: &str,
    data: &str,
    warn: &mut dyn FnMut(String),
) -> Result<Vec<Template>, String> {
    let mut templates = defaults();
    let mut lines = (1usize..).zip(data.lines());
    while let Some((number, line)) = lines.next() {
        if trim(line).is_empty() || trim(line).starts_with('#') {
            continue;
        }
        // Postfix has read a line end more.
        let at = |number: usize| format!("{file}, line {}", number + 1);
        let (name, value) =
            split_name_value(line).map_err(|bad| format!("{}: {bad}: \"{line}\"", at(number)))?;
        let (mut text, mut last) = (Vec::new(), number);
        match value.strip_prefix("<<").map(trim) {
            None => text.push(value.to_string()),
            Some(marker) => {
                let mut ended = false;
                while !ended && let Some((number, line)) = lines.next() {
                    last = number;
                    ended = line == marker;
                    text.extend((!ended).then(|| line.to_string()));
                }
                if !ended {
                    warn(format!("{}: missing \"{marker}\" end marker", at(last)));
                }
            }
        }
        let class = name.strip_suffix("_template").unwrap_or_default();
        let Some(template) = templates.iter_mut().find(|template| template.class == class) else {
            let what = format!("unknown template name: {name} -- ignoring this template");
            warn(format!("{}: {what}", at(last)));
            continue;
        };
        match filled(template, text) {
            Ok(new) if is_plain(&new) => *template = Template { file: file.into(), ..new },
            Ok(Template { class, .. }) => {
                warn(format!("{file}: 8-bit message text in {class} template"));
                warn("please specify a charset value other than us-ascii".into());
                warn("-- ignoring this template for now".into());
            }
            Err(why) => warn(format!("{file}: {why} -- ignoring this template")),
        }
    }
    Ok(templates)
}

/// `old` with the headers and the text of `lines`.
fn filled(old: &Template, lines: Vec<String>) -> Result<Template, String> {
    let mut new = old.clone();
    let class = old.class;
    let mut rest = lines.as_slice();
    while let Some((label, value)) = rest.first().and_then(|line| header(line)) {
        let bad = |what: &str, part: &str| {
            format!("{what} \"{label}\" header {part} in {class} template")
        };
        if value.is_empty() {
            return Err(bad("empty", "value"));
        }
        if !value.is_ascii() {
            return Err(bad("non-ASCII", "value"));
        }
        let value = value.to_string();
        match label.to_ascii_lowercase().as_str() {
            "charset" => new.charset = value,
            "from" => new.from = value,
            "subject" => new.subject = value,
            "postmaster-subject" if new.postmaster_subject.is_some() => {
                new.postmaster_subject = Some(value);
            }
            "postmaster-subject" => return Err(bad("inapplicable", "label")),
            _ => return Err(bad("unknown", "label")),
        }
        rest = &rest[1..];
    }
    let text = rest.iter().skip_while(|line| trim(line).is_empty());
    new.text = text.cloned().collect();
    if new.text.is_empty() {
        return Err(format!("missing message text in {class} template"));
    }
    Ok(new)
}

/// Whether the text may have the charset that is to be told.
fn is_plain(template: &Template) -> bool {
    !template.charset.eq_ignore_ascii_case("us-ascii") || template.text.iter().all(|l| l.is_ascii())
}

/// The label and the value of a header.
fn header(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let label = label.trim_end_matches([' ', '\t']);
    let valid = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| (label, value.trim_ascii_start()))
}

impl Template {
    /// The lines of the text with each `$name` expanded.
    pub fn expanded(&self, params: &Params) -> Result<Vec<String>, BadTemplate> {
        let value = |name: &str| match time(name) {
            Some((parameter, seconds)) => {
                let given = params.seconds(parameter).ok()?;
                Some(format!("{}", given / seconds).into())
            }
            None => params.value_of(name),
        };
        for name in TIMES {
            params.seconds(name).map_err(BadTemplate::Value)?;
        }
        let line = |line: &String| {
            let place = || (self.file.clone(), self.class, line.clone());
            let undefined = expand::scan(line).names.iter().any(|name| value(name).is_none());
            let text = expand::expand(line, &value).map_err(|why| {
                let (file, class, line) = place();
                BadTemplate::Syntax(file, class, line, Box::new(why))
            })?;
            if undefined {
                let (file, class, line) = place();
                return Err(BadTemplate::Undefined(file, class, line));
            }
            Ok(text)
        };
        self.text.iter().map(line).collect()
    }
}

/// The parameter and the unit that a name such as `delay_warning_time_hours` is made of.
fn time(name: &str) -> Option<(&'static str, u64)> {
    UNITS.iter().find_map(|(suffix, seconds)| {
        let base = name.strip_suffix(suffix)?;
        TIMES.iter().find(|time| **time == base).map(|time| (*time, *seconds))
    })
}
