//! The parameters of a table: its .cf file, or `name_parameter` in main.cf.
//!
//! Called by each type of table when it opens. A name that starts with `/` or `.` is a file, any
//! other is a prefix of parameters of main.cf, as the oldest form of these tables has it. Values
//! are taken as they are written: `$name` means nothing here. Parameters nobody asks for are not
//! looked at.
//!
//! **Diagnostics**: [`BadTable`], worded as Postfix words it after `fatal: `; oddities of the file
//! go to the [`Setting`]'s `warn`.
//! **Standards**: mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5),
//! memcache_table(5).

use std::fmt;
use std::sync::Arc;

use config::main_cf::{BadMainCf, MainCf};
use tables::catalog::{BadTable, Name};

/// Takes what Postfix would log as a warning.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// What the world gives to a table when it opens.
#[derive(Clone)]
pub struct Setting<'a> {
    /// The value of a parameter of main.cf, expanded; for tables that have no file.
    pub main_cf: &'a dyn Fn(&str) -> Option<String>,
    /// Takes warnings, also later ones.
    pub warn: Warn,
}

impl fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setting")
    }
}

/// A setting in which main.cf is empty and nobody hears warnings.
pub(crate) fn silent() -> Setting<'static> {
    Setting { main_cf: &|_| None, warn: Arc::new(|_| {}) }
}

/// What errno says, without the number Rust adds.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The parameters of one table.
pub(crate) struct Cf<'a> {
    /// The table.
    pub name: &'a Name,
    file: Option<MainCf>,
    setting: &'a Setting<'a>,
}

impl<'a> Cf<'a> {
    /// Reads the file, if the name is one.
    pub fn read(name: &'a Name, setting: &'a Setting<'a>) -> Result<Self, BadTable> {
        if !name.path.starts_with(['/', '.']) {
            return Ok(Self { name, file: None, setting });
        }
        let path = &name.path;
        let bytes = std::fs::read(path)
            .map_err(|error| BadTable(format!("open {path}: {}", reason(&error))))?;
        let file = MainCf::parse(path, &bytes).map_err(|bad| syntax(&bad))?;
        file.warnings().iter().for_each(|warning| (setting.warn)(&warning.to_string()));
        Ok(Self { name, file: Some(file), setting })
    }

    /// A value as written.
    pub fn get(&self, parameter: &str) -> Option<String> {
        match &self.file {
            Some(file) => file.get(parameter).map(|entry| entry.value.clone()),
            None => (self.setting.main_cf)(&format!("{}_{parameter}", self.name.path)),
        }
    }

    /// A text, maybe empty.
    pub fn text(&self, parameter: &str, default: &str) -> String {
        self.get(parameter).unwrap_or_else(|| default.to_owned())
    }

    /// A text that must not be empty.
    pub fn filled(&self, parameter: &str, default: &str) -> Result<String, BadTable> {
        let value = self.text(parameter, default);
        if value.is_empty() {
            return Err(self.bad(&format!("bad string length 0 < 1: {parameter} = ")));
        }
        Ok(value)
    }

    /// Words between white space and commas.
    pub fn words(&self, parameter: &str, default: &str) -> Vec<String> {
        words(&self.text(parameter, default))
    }

    /// A whole number of at least `least`.
    pub fn number(&self, parameter: &str, default: i32, least: i32) -> Result<i32, BadTable> {
        let Some(text) = self.get(parameter) else { return Ok(default) };
        let number = text
            .parse::<i32>()
            .map_err(|_| self.bad(&format!("bad numerical configuration: {parameter} = {text}")))?;
        if number < least {
            let what = format!("invalid {parameter} parameter value {number} < {least}");
            return Err(self.bad(&what));
        }
        Ok(number)
    }

    /// `yes` or `no`, in any case of letters.
    pub fn flag(&self, parameter: &str, default: bool) -> Result<bool, BadTable> {
        let Some(text) = self.get(parameter) else { return Ok(default) };
        match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(self.bad(&format!("bad boolean configuration: {parameter} = {text}"))),
        }
    }

    /// A mistake in these parameters.
    pub fn bad(&self, what: &str) -> BadTable {
        let path = &self.name.path;
        if self.file.is_some() {
            return BadTable(format!("{path}: {what}"));
        }
        // There the parameter is known under its whole name only.
        let named = what.split_once(": ").map(|(text, rest)| format!("{text}: {path}_{rest}"));
        BadTable(named.unwrap_or_else(|| format!("{path}: {what}")))
    }

    /// Takes warnings.
    pub fn warn(&self) -> &Warn {
        &self.setting.warn
    }

    /// What the table was opened in.
    pub fn setting(&self) -> &Setting<'a> {
        self.setting
    }
}

fn syntax(bad: &BadMainCf) -> BadTable {
    let text = bad.to_string();
    BadTable(text.strip_prefix("fatal: ").unwrap_or(&text).to_owned())
}

/// Words between white space and commas.
pub(crate) fn words(text: &str) -> Vec<String> {
    let separator = |c: char| c == ',' || c.is_ascii_whitespace();
    text.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cf_file, name};

    #[test]
    fn values_are_taken_as_written_and_mistakes_named() {
        let file = cf_file("a = $b\nempty =\nn = 7\nx = seven\nflag = YES\nlist = u, v\n w\n");
        let name = name("mysql", &file.path);
        let setting = silent();
        let cf = Cf::read(&name, &setting).unwrap();
        assert_eq!(cf.text("a", ""), "$b");
        assert_eq!(cf.text("none", "default"), "default");
        assert_eq!(cf.words("list", ""), ["u", "v", "w"]);
        assert_eq!(cf.number("n", 1, 0), Ok(7));
        assert_eq!(cf.flag("flag", false), Ok(true));
        let path = &file.path;
        for (found, what) in [
            (cf.filled("empty", "x").unwrap_err(), "bad string length 0 < 1: empty = "),
            (cf.number("x", 1, 0).unwrap_err(), "bad numerical configuration: x = seven"),
            (cf.number("n", 1, 8).unwrap_err(), "invalid n parameter value 7 < 8"),
            (cf.flag("a", true).unwrap_err(), "bad boolean configuration: a = $b"),
        ] {
            assert_eq!(found.0, format!("{path}: {what}"));
        }
    }

    #[test]
    fn files_that_cannot_be_read_say_why() {
        let setting = silent();
        let read = |path: &str| Cf::read(&name("mysql", path), &setting).map(|_| ()).unwrap_err().0;
        assert_eq!(read("/none.cf"), "open /none.cf: No such file or directory");
        let file = cf_file("a = b\ngarbage\n");
        let path = &file.path;
        let what = "missing '=' after attribute name: \"garbage\"";
        assert_eq!(read(path), format!("{path}, line 2: {what}"));
    }

    #[test]
    fn a_name_that_is_no_file_has_its_parameters_in_main_cf() {
        let main = |name: &str| (name == "m_hosts").then(|| "h".to_owned());
        let setting = Setting { main_cf: &main, warn: Arc::new(|_| {}) };
        let name = name("mysql", "m");
        let cf = Cf::read(&name, &setting).unwrap();
        assert_eq!(cf.text("hosts", "x"), "h");
        assert_eq!(cf.filled("dbname", "").unwrap_err().0, "bad string length 0 < 1: m_dbname = ");
    }
}
