//! Lookup tables of the configuration: a parameter's list of tables, opened once and asked in
//! order.
//!
//! Called wherever a parameter names tables; belongs to the [`crate::snapshot::Snapshot`], so that
//! a reload opens everything anew. Each table is opened once, however many parameters name it; when
//! files change, those tables alone are opened anew ([`opened`]).
//!
//! **Diagnostics**: a table that cannot be opened is named once at start and answers
//! [`Lookup::Retry`] from then on: a broken table never means "not found".
//! **Standards**: postconf(5), DATABASE_README.

pub mod opened;
pub mod remarks;
pub mod servers;

use crate::lookup::opened::{File, Tables};
use crate::lookup::remarks::{Remark, Remarks};
use crate::maillog::Daemon;
use crate::match_list::{Domains, Networks, Reader, Subdomains, is_table};
use config::Params;
use config::params::BadValue;
use mail::address::Printable;
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use tables::catalog::{Catalog, Name, Opened, System};
use tables::fold::Folding;
use tables::{Lookup, Table};

/// Lists in which a name is that name and no more.
const NAME_LISTS: [&str; 5] = [
    "masquerade_exceptions",
    "mydestination",
    "smtp_connection_cache_destinations",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
];

/// Types that are opened in another way, or not at all, where answers are sensitive.
const SENSITIVE: [&str; 6] = ["nis:", "pcre:", "proxy:", "regexp:", "socketmap:", "tcp:"];

/// The tables that one parameter names.
#[derive(Debug, Default)]
pub struct Maps {
    /// What warnings call them: mostly the parameter.
    title: String,
    tables: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    Opened(Arc<Opened>),
    /// Its name, and why it could not be opened.
    Broken {
        name: String,
        why: String,
    },
}

/// Opens the tables of one configuration, and collects what should be said about them.
pub struct Opener {
    system: System,
    utf8: bool,
    default_type: String,
    proxied: Vec<String>,
    remarks: Remarks,
    /// The first parameter with a table that cannot be opened, and why.
    failed: RefCell<Option<(String, String)>>,
    /// What tables without a file of their own have in main.cf.
    params: Params,
    tables: RefCell<Tables>,
    /// Those of the configuration before, which serve on while their files are what they were.
    before: Tables,
}

impl Opener {
    /// Reads what all tables have in common.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(params: &Params, system: System, before: Tables) -> Result<Opener, BadValue> {
        Ok(Opener {
            tables: RefCell::default(),
            before,
            system,
            utf8: params.flag("smtputf8_enable")?,
            default_type: params.text("default_database_type")?,
            proxied: params.list("proxy_read_maps")?,
            remarks: Remarks::default(),
            failed: RefCell::default(),
            params: params.clone(),
        })
    }

    /// Opens the tables `parameter` names.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn maps(&self, params: &Params, parameter: &str) -> Result<Maps, BadValue> {
        Ok(self.maps_of(parameter, &params.list(parameter)?))
    }

    /// Opens the tables `parameter` names; what they say becomes a file's name or its owner.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn sensitive_maps(&self, params: &Params, parameter: &str) -> Result<Maps, BadValue> {
        Ok(self.used(parameter, &params.list(parameter)?, Use::Sensitive))
    }

    /// Opens the tables `parameter` names, where rules may not put parts of the key into the
    /// answer.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn verbatim_maps(&self, params: &Params, parameter: &str) -> Result<Maps, BadValue> {
        Ok(self.used(parameter, &params.list(parameter)?, Use::Verbatim))
    }

    /// Opens the tables `parameter` names; they are asked for what may be no text, letter by
    /// letter.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn raw_maps(&self, params: &Params, parameter: &str) -> Result<Maps, BadValue> {
        Ok(self.used(parameter, &params.list(parameter)?, Use::Raw))
    }

    /// Opens tables that belong to `parameter`.
    pub fn maps_of(&self, parameter: &str, words: &[String]) -> Maps {
        self.used(parameter, words, Use::Plain)
    }

    fn used(&self, parameter: &str, words: &[String], use_as: Use) -> Maps {
        let tables = words.iter().map(|word| self.item(parameter, word, use_as)).collect();
        Maps { title: parameter.to_owned(), tables }
    }

    /// The networks and hosts `parameter` lists.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn networks(&self, params: &Params, parameter: &str) -> Result<Networks, BadValue> {
        let (words, subdomains) = (params.list(parameter)?, subdomains(params, parameter)?);
        Ok(self.list(parameter, |reader| Networks::read(&words, subdomains, reader)))
    }

    /// The domains `parameter` lists.
    ///
    /// # Errors
    /// The parameter's value is not valid.
    pub fn domains(&self, params: &Params, parameter: &str) -> Result<Domains, BadValue> {
        let words = params.list(parameter)?;
        let subdomains = match subdomains(params, parameter)? {
            // Postfix reads these as lists of names, whatever is said of parents.
            _ if NAME_LISTS.contains(&parameter) => Subdomains::Never,
            true => Subdomains::Plain,
            false => Subdomains::Dotted,
        };
        Ok(self.list(parameter, |reader| Domains::read(&words, subdomains, reader)))
    }

    fn list<T>(&self, parameter: &str, read: impl FnOnce(&Reader<'_>) -> T) -> T {
        read(&Reader {
            table: &|word| self.open(word, Use::Plain),
            file: &self.system.read,
            complain: &|item, why| {
                self.note_failure(parameter, why);
                match is_table(item.trim_start_matches('!')) {
                    true => self.remarks.say(true, why.to_owned()),
                    false => self.warn(format!("{parameter}: {item}: {why}")),
                }
            },
        })
    }

    fn item(&self, parameter: &str, word: &str, use_as: Use) -> Item {
        match self.open(word, use_as) {
            Ok(opened) => Item::Opened(opened),
            Err(why) => {
                self.note_failure(parameter, &why);
                self.remarks.say(true, why.clone());
                Item::Broken { name: word.to_owned(), why }
            }
        }
    }

    /// A table by its name: one that is open already, if there is one. What is wrong with it is
    /// said by everybody who opens it.
    fn open(&self, word: &str, use_as: Use) -> Result<Arc<Opened>, String> {
        let key = use_as.key(word);
        let mut tables = self.tables.borrow_mut();
        if !tables.take_over(&key, &self.before, self.system.stamp) {
            self.read(word, use_as, &key, &mut tables);
        }
        tables.said(&key).iter().for_each(|text| self.warn(text.clone()));
        tables.get(&key)
    }

    fn read(&self, word: &str, use_as: Use, key: &str, tables: &mut Tables) {
        let files: RefCell<Vec<File>> = RefCell::default();
        let said: RefCell<Vec<String>> = RefCell::default();
        let catalog = Catalog {
            system: self.system,
            folding: match (use_as, self.utf8) {
                (Use::Raw, _) => Folding::Exact,
                (_, true) => Folding::Utf8,
                (_, false) => Folding::Ascii,
            },
            utf8: self.utf8 && use_as != Use::Raw,
            default_type: &self.default_type,
            proxied: &self.proxied,
            sensitive: use_as == Use::Sensitive,
            verbatim: use_as == Use::Verbatim,
            parameters: &|name| self.params.own_text(name),
            warn: &|text| said.borrow_mut().push(text),
            // What it is before it is read: a change meanwhile is one that shows.
            reads: &|path| {
                files.borrow_mut().push((path.to_owned(), (self.system.stamp)(path)));
            },
        };
        let name = Name::of_table(word, &self.default_type);
        let opened = name.and_then(|name| catalog.open(name));
        tables.keep(key, opened, files.into_inner(), said.into_inner());
    }

    fn note_failure(&self, parameter: &str, why: &str) {
        let mut failed = self.failed.borrow_mut();
        failed.get_or_insert_with(|| (parameter.to_owned(), why.to_owned()));
    }

    /// Whether all tables that were opened can be used, where that is asked for
    /// (`daemon_table_open_error_is_fatal`).
    ///
    /// # Errors
    /// The first that cannot.
    pub fn insist(&self) -> Result<(), BadValue> {
        let fatal = self.params.flag("daemon_table_open_error_is_fatal")?;
        match &*self.failed.borrow() {
            Some((parameter, why)) if fatal => Err(self.params.unusable_table(parameter, why)),
            _ => Ok(()),
        }
    }

    /// Takes something that should be said about the configuration.
    pub fn warn(&self, text: String) {
        self.remarks.say(false, text);
    }

    /// Tables from here on are this program's.
    pub fn speak_as(&self, daemon: Daemon) {
        self.remarks.speak_as(daemon);
    }

    /// What should be said, and the tables.
    pub fn finish(self) -> (Vec<Remark>, Tables) {
        (self.remarks.finish(), self.tables.into_inner())
    }
}

/// What the answers of a table are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Plain,
    /// They become a file's name or its owner.
    Sensitive,
    /// They say where mail goes: no part of the key is in them.
    Verbatim,
    /// They are about content.
    Raw,
}

impl Use {
    /// What a table is kept under: most are the same for both uses.
    fn key(self, word: &str) -> Cow<'_, str> {
        let differs = || SENSITIVE.iter().any(|kind| word.contains(kind));
        match self {
            Use::Sensitive if differs() => Cow::Owned(format!("{word} (sensitive)")),
            Use::Verbatim if differs() => Cow::Owned(format!("{word} (verbatim)")),
            Use::Raw => Cow::Owned(format!("{word} (raw)")),
            Use::Plain | Use::Sensitive | Use::Verbatim => Cow::Borrowed(word),
        }
    }
}

/// Whether a plain name in this list stands for its subdomains too.
fn subdomains(params: &Params, parameter: &str) -> Result<bool, BadValue> {
    Ok(params.list("parent_domain_matches_subdomains")?.iter().any(|word| word == parameter))
}

/// What part of something a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it: every table is asked.
    Whole,
    /// Less than that: tables of patterns are not asked.
    Partial,
}

impl Maps {
    /// The first answer counts, also that a table cannot tell.
    pub fn find(&self, key: &[u8], part: Part) -> Lookup<'_> {
        self.find_in(key, part).0
    }

    /// The same, with the table that answers. An empty answer is a mistake in the table.
    pub fn find_in(&self, key: &[u8], part: Part) -> (Lookup<'_>, Option<&Opened>) {
        let (answer, place) = self.search(key, part);
        let table = match self.tables.get(place) {
            Some(Item::Opened(opened)) if answer != Lookup::NotFound => Some(opened.as_ref()),
            _ => None,
        };
        match answer {
            Lookup::Found(value) if value.is_empty() => {
                (Lookup::Retry(Cow::Borrowed("an empty string result")), table)
            }
            answer => (answer, table),
        }
    }

    /// These tables, which warnings call so.
    pub fn titled(self, title: &str) -> Maps {
        Maps { title: title.to_owned(), ..self }
    }

    /// What the table at a place is called.
    pub fn name(&self, place: usize) -> String {
        match self.tables.get(place) {
            Some(Item::Opened(opened)) => opened.name.shown(),
            Some(Item::Broken { name, .. }) => name.clone(),
            None => String::new(),
        }
    }

    /// Why the table at a place was not opened: a line for the log, or nothing.
    pub fn unavailable(&self, place: usize) -> String {
        match self.tables.get(place) {
            Some(Item::Broken { name, why }) => format!("{name} is unavailable. {why}"),
            _ => String::new(),
        }
    }

    /// The first answer, with the place of the table that gives it among the parameter's words.
    pub fn find_at(&self, key: &[u8]) -> (Lookup<'_>, usize) {
        self.search(key, Part::Whole)
    }

    fn search(&self, key: &[u8], part: Part) -> (Lookup<'_>, usize) {
        for (place, item) in self.tables.iter().enumerate() {
            let answer = match item {
                Item::Opened(opened) if part == Part::Partial && !opened.is_fixed() => continue,
                Item::Opened(opened) => opened.table().lookup(key),
                Item::Broken { why, .. } => Lookup::Retry(Cow::Owned(why.clone())),
            };
            if answer != Lookup::NotFound {
                return (answer, place);
            }
        }
        (Lookup::NotFound, 0)
    }

    /// Postfix's warnings about a search for `key` that ended with [`Lookup::Retry`].
    pub fn complaints(&self, key: &[u8]) -> Vec<String> {
        let (title, shown) = (&self.title, Printable(key));
        for item in &self.tables {
            let opened = match item {
                Item::Broken { name, why } => {
                    let lookup = format!("{name} lookup error for \"{shown}\"");
                    return vec![format!("{name} is unavailable. {why}"), lookup];
                }
                Item::Opened(opened) => opened,
            };
            let name = opened.name.shown();
            return match opened.table().lookup(key) {
                Lookup::NotFound => continue,
                Lookup::Retry(_) => vec![format!("{name} lookup error for \"{shown}\"")],
                Lookup::Found(value) if value.is_empty() => vec![
                    format!("{title} lookup of {shown} returns an empty string result"),
                    format!("{title} should return NO RESULT in case of NOT FOUND"),
                ],
                Lookup::Found(_) => Vec::new(),
            };
        }
        Vec::new()
    }

    /// The same as lines of one text; `why`, where nothing fails any more.
    pub fn failure(&self, key: &[u8], why: &str) -> String {
        match self.complaints(key) {
            lines if lines.is_empty() => why.to_string(),
            lines => lines.join("\n"),
        }
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl Table for Maps {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        self.find(key, Part::Whole)
    }
}

#[cfg(test)]
mod tests;
