//! One message of a queue listing, and the JSON line it travels as.
//!
//! The reader takes any JSON object and looks at the members it knows; the writer's bytes are
//! Postfix's: fixed member order, a blank after `:` and `,`.
//!
//! **Diagnostics**: [`BadLine`] for a line that is not such an object.
//! **Limits**: eight levels of nesting.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Objects and arrays within each other.
const DEPTH_MAX: usize = 8;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// Postfix's name of the queue it is in.
    pub queue: String,
    /// Its id.
    pub id: String,
    /// Unix seconds.
    pub arrival: u64,
    /// Bytes.
    pub size: u64,
    /// Expires whatever its age.
    pub forced_expire: bool,
    /// External form; `MAILER-DAEMON` for the null sender.
    pub sender: String,
    /// Those that are not done.
    pub recipients: Vec<Recipient>,
}

/// A recipient.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Recipient {
    /// External form.
    pub address: String,
    /// Why it is still here; empty when it was not tried.
    pub reason: String,
}

/// Not a message of a queue listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queue, id) = (Quoted(&self.queue), Quoted(&self.id));
        let sender = Quoted(&self.sender);
        let (arrival, size, forced) = (self.arrival, self.size, self.forced_expire);
        write!(f, "{{\"queue_name\": {queue}, \"queue_id\": {id}, \"arrival_time\": {arrival}, ")?;
        write!(f, "\"message_size\": {size}, \"forced_expire\": {forced}, ")?;
        write!(f, "\"sender\": {sender}, \"recipients\": [")?;
        for (at, recipient) in self.recipients.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{{\"address\": {}", Quoted(&recipient.address))?;
            if !recipient.reason.is_empty() {
                write!(f, ", \"delay_reason\": {}", Quoted(&recipient.reason))?;
            }
            f.write_char('}')?;
        }
        f.write_str("]}")
    }
}

/// A JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c < ' ' || c == '\u{7f}' => write!(f, "\\u{:04X}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl Entry {
    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, BadLine> {
        let mut parser = Parser { rest: line.trim() };
        let value = parser.value(0).filter(|_| parser.rest.is_empty()).ok_or(BadLine)?;
        let recipients = match value.member("recipients") {
            Some(Value::Array(items)) => items.iter().map(Recipient::of).collect(),
            _ => return Err(BadLine),
        };
        Ok(Self {
            queue: value.text("queue_name").ok_or(BadLine)?,
            id: value.text("queue_id").ok_or(BadLine)?,
            arrival: value.number("arrival_time").ok_or(BadLine)?,
            size: value.number("message_size").ok_or(BadLine)?,
            forced_expire: matches!(value.member("forced_expire"), Some(Value::Word("true"))),
            sender: value.text("sender").ok_or(BadLine)?,
            recipients,
        })
    }
}

impl Recipient {
    fn of(value: &Value<'_>) -> Self {
        let text = |name| value.text(name).unwrap_or_default();
        Self { address: text("address"), reason: text("delay_reason") }
    }
}

enum Value<'a> {
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
    Array(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    fn member(&self, name: &str) -> Option<&Value<'a>> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.member(name)? {
            Self::Text(text) => Some(text.clone().into_owned()),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.member(name)? {
            Self::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        self.blank();
        if depth > DEPTH_MAX {
            return None;
        }
        let value = match self.rest.bytes().next()? {
            b'"' => Value::Text(self.string()?),
            b'[' => Value::Array(self.list(']', |parser| parser.value(depth + 1))?),
            b'{' => Value::Object(self.list('}', |parser| {
                let name = parser.string()?;
                parser.eat(':').then_some(())?;
                Some((name, parser.value(depth + 1)?))
            })?),
            _ => Value::Word(self.word()?),
        };
        self.blank();
        Some(value)
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blank();
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn list<T>(
        &mut self,
        end: char,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.rest = &self.rest[1..];
        let mut out = Vec::new();
        while !self.eat(end) {
            if !out.is_empty() && !self.eat(',') {
                return None;
            }
            out.push(item(self)?);
        }
        Some(out)
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        self.rest = after;
        (!word.is_empty()).then_some(word)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat('"').then_some(())?;
        let (plain, rest) = self.rest.split_at(self.rest.find(['"', '\\'])?);
        if let Some(rest) = rest.strip_prefix('"') {
            self.rest = rest;
            return Some(Cow::Borrowed(plain));
        }
        let mut out = String::new();
        loop {
            let (plain, rest) = self.rest.split_at(self.rest.find(['"', '\\'])?);
            out.push_str(plain);
            let mut chars = rest.chars();
            if chars.next() == Some('"') {
                self.rest = chars.as_str();
                return Some(Cow::Owned(out));
            }
            out.push(escaped(&mut chars)?);
            self.rest = chars.as_str();
        }
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let digits = chars.as_str().get(..4)?;
            *chars = chars.as_str()[4..].chars();
            let code = u32::from_str_radix(digits, 16).ok()?;
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        c @ ('"' | '\\' | '/') => c,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "{\"queue_name\": \"deferred\", \"queue_id\": \"4jXS\", \
        \"arrival_time\": 1795347846, \"message_size\": 319, \"forced_expire\": false, \
        \"sender\": \"a@b\", \"recipients\": [{\"address\": \"c@d\", \"delay_reason\": \"x\"}, \
        {\"address\": \"e@f\"}]}";

    #[test]
    fn the_line_is_postfix_own() {
        let entry = Entry::parse(LINE).unwrap();
        assert_eq!((entry.arrival, entry.size), (1_795_347_846, 319));
        assert_eq!(entry.recipients[0].reason, "x");
        assert_eq!(entry.to_string(), LINE);
    }

    proptest! {
        #[test]
        fn an_entry_comes_back(
            id in "\\PC{0,9}", sender in any::<String>(), reason in any::<String>(),
            size: u64, forced_expire: bool,
        ) {
            let recipients = vec![Recipient { address: sender.clone(), reason }];
            let queue = "hold".to_owned();
            let entry = Entry { queue, id, size, forced_expire, sender, recipients, arrival: 1 };
            prop_assert_eq!(Entry::parse(&entry.to_string()), Ok(entry));
        }

        #[test]
        fn any_line_is_an_entry_or_an_error(line in "[\\[\\]{}\",:a-c0-9\\\\ ]{0,60}") {
            let _either = Entry::parse(&line);
        }
    }
}
