//! `domain`: the list of domains whose addresses a table is asked for.
//!
//! A list of names, of files with more of them, and of tables that have a domain as a key; `!` in
//! front of any excludes. The first that matches decides. Only whole addresses with a local part
//! are asked for.
//!
//! **Diagnostics**: a file that cannot be read and a table that cannot be opened are [`BadTable`];
//! a table that cannot tell is why the lookup must be tried again.
//! **Limits**: [`FILE_NESTING_MAX`].
//! **Standards**: "domain" in mysql_table(5); match lists as in postconf(5).

use tables::catalog::BadTable;

use crate::Answer;
use crate::cf::{Cf, Setting, reason, words};
use crate::other::Other;
use crate::template::halves;

/// How deep files of domains may name files.
pub const FILE_NESTING_MAX: usize = 10;

enum Pattern {
    Name(String),
    Table(Other),
}

struct Entry {
    excludes: bool,
    pattern: Pattern,
}

/// The list of one table.
pub(crate) struct Domains {
    path: String,
    entries: Vec<Entry>,
}

impl Domains {
    /// Reads `domain`; nothing if it has nothing in it.
    pub fn read(cf: &Cf<'_>) -> Result<Option<Self>, BadTable> {
        let words = cf.words("domain", "");
        if words.is_empty() {
            return Ok(None);
        }
        let mut entries = Vec::new();
        collect(&words, false, cf.setting(), &mut entries, 0)?;
        Ok(Some(Self { path: cf.name.path.clone(), entries }))
    }

    /// Whether the domain of the address `key` is in the list.
    ///
    /// # Errors
    /// A table of the list cannot tell; the words of Postfix.
    pub async fn has_domain_of(&self, key: &[u8]) -> Result<bool, String> {
        match halves(key) {
            (b"", _) | (_, None) => Ok(false),
            (_, Some(domain)) => self.has(&domain.to_ascii_lowercase()).await,
        }
    }

    async fn has(&self, domain: &[u8]) -> Result<bool, String> {
        for Entry { excludes, pattern } in &self.entries {
            let matches = match pattern {
                Pattern::Name(name) => domain.eq_ignore_ascii_case(name.as_bytes()),
                Pattern::Table(table) => match table.lookup(domain).await {
                    Answer::Found(_) => true,
                    Answer::NotFound => false,
                    Answer::Retry(_) => {
                        let path = &self.path;
                        return Err(format!("{path}: {}: table lookup problem", table.name()));
                    }
                },
            };
            if matches {
                return Ok(!excludes);
            }
        }
        Ok(false)
    }
}

fn collect(
    words: &[String],
    excludes: bool,
    setting: &Setting<'_>,
    out: &mut Vec<Entry>,
    depth: usize,
) -> Result<(), BadTable> {
    for word in words {
        let pattern = word.trim_start_matches('!');
        let excludes = excludes ^ ((word.len() - pattern.len()) % 2 == 1);
        if pattern.starts_with('/') {
            if depth >= FILE_NESTING_MAX {
                return Err(BadTable(format!("files are nested too deeply: {pattern}")));
            }
            collect(&lines(pattern)?, excludes, setting, out, depth + 1)?;
        } else if pattern.contains(':') && !pattern.starts_with('[') {
            out.push(Entry { excludes, pattern: Pattern::Table(Other::open(pattern, setting)?) });
        } else {
            out.push(Entry { excludes, pattern: Pattern::Name(pattern.to_owned()) });
        }
    }
    Ok(())
}

/// The words of a file, without comments.
fn lines(path: &str) -> Result<Vec<String>, BadTable> {
    let text = std::fs::read(path)
        .map_err(|error| BadTable(format!("open file {path}: {}", reason(&error))))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    Ok(lines.flat_map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, cf_file, name};

    fn domains(text: &str) -> Result<Option<Domains>, BadTable> {
        let file = cf_file(text);
        let name = name("mysql", &file.path);
        let heard = Heard::default();
        let setting = heard.setting();
        Domains::read(&Cf::read(&name, &setting)?)
    }

    #[tokio::test]
    async fn only_addresses_in_listed_domains_match() {
        let more = cf_file("# comment\nfile.dom\n f2.dom\n");
        let text = format!("domain = b.c, !d.e, X.y {} inline:{{q.r=1}}\n", more.path);
        let list = domains(&text).unwrap().unwrap();
        for (key, expected) in [
            ("a@b.c", true),
            ("a@B.C", true),
            ("@b.c", false),
            ("b.c", false),
            ("a@d.e", false),
            ("a@x.y", true),
            ("a@file.dom", true),
            ("a@f2.dom", true),
            ("a@q.r", true),
            ("a@sub.b.c", false),
            ("a@", false),
        ] {
            assert_eq!(list.has_domain_of(key.as_bytes()).await, Ok(expected), "{key}");
        }
    }

    #[tokio::test]
    async fn a_table_that_cannot_tell_is_told() {
        let list = domains("domain = b.c, fail:x\n").unwrap().unwrap();
        assert_eq!(list.has_domain_of(b"a@b.c").await, Ok(true));
        let why = list.has_domain_of(b"a@o").await.unwrap_err();
        assert!(why.ends_with(": fail:x: table lookup problem"), "{why}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let bad = |text: &str| domains(text).err().unwrap().0;
        let missing = "open file /none/x: No such file or directory";
        assert_eq!(bad("domain = /none/x\n"), missing);
        assert_eq!(bad("domain = nosuch:x\n"), "unsupported dictionary type: nosuch");
        assert!(domains("domain =\n").unwrap().is_none());
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, path).unwrap();
        assert!(bad(&format!("domain = {path}\n")).contains("nested too deeply"));
    }
}
