//! Which attributes of an entry are values, and which lead on.
//!
//! | attribute | its values are taken |
//! | --- | --- |
//! | terminal | always; an entry that has one gives nothing else |
//! | leaf | from entries without special attributes |
//! | ordinary | always |
//! | special | as names of entries, or URLs, to look up |
//!
//! Values come in the order in which the server sends them. Names are compared without regard to
//! case.
//!
//! **Standards**: "result_attribute" and those after it in ldap_table(5).

use ldap3::ResultEntry;

use crate::cf::Cf;

/// The lists of one table.
pub(super) struct Attributes {
    ordinary: Vec<String>,
    terminal: Vec<String>,
    leaf: Vec<String>,
    special: Vec<String>,
}

/// What an entry asks to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A value of the answer.
    Value { value: Vec<u8>, depth: usize },
    /// Something to look up.
    Special { attribute: String, value: String, depth: usize },
}

/// Names and values of an entry, in order.
pub(super) type Entry = Vec<(String, Vec<Vec<u8>>)>;

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|item| item.eq_ignore_ascii_case(name))
}

impl Attributes {
    /// Reads the file's lists.
    pub fn read(cf: &Cf<'_>) -> Self {
        Self {
            ordinary: cf.words("result_attribute", "maildrop"),
            terminal: cf.words("terminal_result_attribute", ""),
            leaf: cf.words("leaf_result_attribute", ""),
            special: cf.words("special_result_attribute", ""),
        }
    }

    /// All, to be asked for.
    pub fn all(&self) -> Vec<String> {
        let lists = [&self.terminal, &self.leaf, &self.ordinary, &self.special];
        lists.into_iter().flatten().cloned().collect()
    }

    /// Those of them that a URL asks for, too; none in a URL is all.
    pub fn asked_by(&self, url: &[String]) -> Vec<String> {
        let mut out = self.all();
        out.retain(|name| url.is_empty() || has(url, name));
        out
    }

    /// What entries found at `depth` ask for, in their order.
    pub fn tasks(&self, entries: Vec<Entry>, depth: usize) -> Vec<Task> {
        entries.into_iter().flat_map(|entry| self.tasks_of(entry, depth)).collect()
    }

    fn tasks_of(&self, entry: Entry, depth: usize) -> Vec<Task> {
        let has_any = |list: &[String]| {
            entry.iter().any(|(name, values)| has(list, name) && !values.is_empty())
        };
        let (is_terminal, is_leaf) = (has_any(&self.terminal), !has_any(&self.special));
        let mut out = Vec::new();
        for (name, values) in entry {
            let is_value = match is_terminal {
                true => has(&self.terminal, &name),
                false => has(&self.ordinary, &name) || is_leaf && has(&self.leaf, &name),
            };
            let is_special = !is_value && !is_terminal && has(&self.special, &name);
            for value in values {
                if is_value {
                    out.push(Task::Value { value, depth });
                } else if is_special {
                    let value = String::from_utf8_lossy(&value).into_owned();
                    out.push(Task::Special { attribute: name.clone(), value, depth });
                }
            }
        }
        out
    }
}

/// The names and values of what a server sent; nothing of what is not an entry.
pub(super) fn entry(result: ResultEntry) -> Option<Entry> {
    if result.is_ref() || result.is_intermediate() {
        return None;
    }
    let attributes = result.0.expect_constructed()?.into_iter().nth(1)?.expect_constructed()?;
    let mut out = Entry::new();
    for attribute in attributes {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = parts.next()?.expect_primitive()?;
        let values = parts.next()?.expect_constructed()?;
        let values = values.into_iter().filter_map(|value| value.expect_primitive()).collect();
        out.push((String::from_utf8_lossy(&name).into_owned(), values));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        let list = |names: &str| names.split_whitespace().map(str::to_owned).collect();
        Attributes {
            ordinary: list("addr"),
            terminal: list("drop"),
            leaf: list("mail"),
            special: list("member"),
        }
    }

    fn told(entry: &[(&str, &str)]) -> Vec<String> {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), vec![value.as_bytes().into()]);
        let entry = entry.iter().map(pair).collect();
        let tasks = attributes().tasks(vec![entry], 1);
        let text = |task| match task {
            Task::Value { value, .. } => String::from_utf8(value).unwrap(),
            Task::Special { attribute, value, .. } => format!("{attribute}={value}"),
        };
        tasks.into_iter().map(text).collect()
    }

    #[test]
    fn entries_give_values_in_their_order() {
        assert_eq!(told(&[("MAIL", "m"), ("other", "x"), ("addr", "a")]), ["m", "a"]);
        let group = [("mail", "m"), ("addr", "a"), ("Member", "dn")];
        assert_eq!(told(&group), ["a", "Member=dn"]);
        assert_eq!(told(&[("member", "dn"), ("addr", "a"), ("drop", "d")]), ["d"]);
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn a_url_asks_for_some() {
        let attributes = attributes();
        assert_eq!(attributes.all(), ["drop", "mail", "addr", "member"]);
        assert_eq!(attributes.asked_by(&[]), attributes.all());
        assert_eq!(attributes.asked_by(&["Mail".into(), "x".into()]), ["mail"]);
    }
}
