//! What tables with a .cf file have in common: which keys are asked for, what becomes of values.
//!
//! Each type reads its queries, hands them to `Shape::read`, asks its server only for keys that
//! `Shape::admit` lets through, and gives what it got to a `Gathering`.
//!
//! **Diagnostics**: [`BadTable`] for templates; too many values are why a lookup must be tried
//! again; an empty value is left out with a warning.
//! **Limits**: [`ANSWER_BYTES_MAX`], and `expansion_limit`.
//! **Standards**: "domain", "result_format" and "expansion_limit" in mysql_table(5).

use tables::catalog::BadTable;
use tables::source::printable;

use crate::Answer;
use crate::cf::{Cf, Warn};
use crate::domain::Domains;
use crate::template::{Needs, Role, Template, plain};

/// Bytes of all values of one answer, with commas.
pub const ANSWER_BYTES_MAX: usize = 1 << 24;

/// What is common.
pub(crate) struct Shape {
    kind: String,
    path: String,
    needs: Needs,
    domains: Option<Domains>,
    result: Template,
    /// Values of one answer; 0 for any number.
    expansion_limit: usize,
    warn: Warn,
}

/// A query template, or Postfix's word about it.
pub(crate) fn query(cf: &Cf<'_>, text: &str) -> Result<Template, BadTable> {
    template(cf, text, Role::Query, "query")
}

fn template(cf: &Cf<'_>, text: &str, role: Role, what: &str) -> Result<Template, BadTable> {
    let path = &cf.name.path;
    let bad = || BadTable(format!("db_common_parse: {path}: Invalid {what} template: {text}"));
    Template::parse(text, role).ok_or_else(bad)
}

/// The query that the oldest parameters of SQL tables make.
#[cfg(any(feature = "mysql", feature = "pgsql", feature = "sqlite"))]
pub(crate) fn legacy_query(cf: &Cf<'_>) -> Result<String, BadTable> {
    // In the order in which Postfix complains.
    let table = cf.filled("table", "")?;
    let select = cf.filled("select_field", "")?;
    let field = cf.filled("where_field", "")?;
    let more = cf.text("additional_conditions", "");
    Ok(format!("SELECT {select} FROM {table} WHERE {field} = '%s' {more}"))
}

impl Shape {
    /// Reads `domain` and `expansion_limit`; `queries` are all that a key is put into.
    pub fn read(cf: &Cf<'_>, queries: &[&Template], result: &str) -> Result<Self, BadTable> {
        let result = template(cf, result, Role::Result, "result")?;
        let needs = queries.iter().map(|query| query.key_needs());
        let limit = cf.number("expansion_limit", 0, i32::MIN)?;
        Ok(Self {
            kind: cf.name.kind.clone(),
            path: cf.name.path.clone(),
            needs: needs.fold(result.key_needs(), Needs::and),
            domains: Domains::read(cf)?,
            result,
            expansion_limit: usize::try_from(limit).unwrap_or(0),
            warn: cf.warn().clone(),
        })
    }

    /// Whether the server is asked for `key`.
    ///
    /// # Errors
    /// The list of domains cannot tell; why.
    pub async fn is_asked(&self, key: &[u8]) -> Result<bool, String> {
        if key.is_empty() {
            return Ok(false);
        }
        let is_in = match &self.domains {
            Some(domains) => domains.has_domain_of(key).await?,
            None => true,
        };
        Ok(is_in && self.needs.are_met(key))
    }

    /// Lets `key` through to the server.
    ///
    /// # Errors
    /// The answer without one: the key is not asked for, or nobody can tell whether it is.
    pub async fn admit(&self, key: &[u8]) -> Result<(), Answer> {
        match self.is_asked(key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Answer::NotFound),
            Err(why) => Err(Answer::Retry(why)),
        }
    }

    /// Its file, or prefix.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `type:name`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.kind, self.path)
    }

    /// Says what is wrong but no reason to fail.
    pub fn warn(&self, text: &str) {
        (self.warn)(text);
    }

    /// The answer for `key` that is made of `values`; those that are nothing do not exist.
    pub fn answer(&self, key: &[u8], values: Vec<Option<Vec<u8>>>) -> Answer {
        let mut gathering = Gathering::new(self, key);
        for value in values.into_iter().flatten() {
            if let Err(why) = gathering.add(&value) {
                return Answer::Retry(why);
            }
        }
        gathering.end()
    }
}

/// The values of one answer, on their way into it.
pub(crate) struct Gathering<'a> {
    shape: &'a Shape,
    key: &'a [u8],
    count: usize,
    /// How many searches deep the values are found; LDAP tells it.
    pub depth: usize,
    out: Vec<u8>,
}

impl<'a> Gathering<'a> {
    /// None yet.
    pub fn new(shape: &'a Shape, key: &'a [u8]) -> Self {
        Self { shape, key, count: 0, depth: 1, out: Vec::new() }
    }

    /// One more.
    ///
    /// # Errors
    /// They are too many, or too long; the words of Postfix.
    pub fn add(&mut self, value: &[u8]) -> Result<(), String> {
        let Shape { path, result, expansion_limit, .. } = self.shape;
        if value.is_empty() {
            let (label, key) = (self.shape.label(), printable(self.key));
            let what = format!("table \"{label}\": empty lookup result for: \"{key}\" -- ignored");
            self.shape.warn(&what);
            return Ok(());
        }
        if !result.value_needs().are_met(value) {
            return Ok(());
        }
        if self.count > 0 {
            self.out.push(b',');
        }
        self.out.extend(result.fill(self.key, value, &plain));
        self.count += 1;
        if *expansion_limit > 0 && self.count > *expansion_limit {
            return Err(self.too_many());
        }
        if self.out.len() > ANSWER_BYTES_MAX {
            let kind = &self.shape.kind;
            return Err(format!("dict_{kind}_lookup: {path}: answer too long"));
        }
        Ok(())
    }

    fn too_many(&self) -> String {
        let Shape { kind, path, .. } = self.shape;
        let key = printable(self.key);
        let (function, colon) = match kind.as_str() {
            "ldap" => (format!("get_values[{}]", self.depth), ":"),
            "sqlite" => ("lookup".to_owned(), ""),
            _ => ("lookup".to_owned(), ":"),
        };
        let what = format!("Expansion limit exceeded for key{colon} '{key}'");
        format!("dict_{kind}_{function}: {path}: {what}")
    }

    /// What they make together.
    pub fn end(self) -> Answer {
        if self.out.is_empty() { Answer::NotFound } else { Answer::Found(self.out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, cf_file, name};

    fn shape(heard: &Heard, text: &str) -> Result<Shape, BadTable> {
        let file = cf_file(text);
        let name = name("mysql", &file.path);
        let setting = heard.setting();
        let cf = Cf::read(&name, &setting)?;
        let query = query(&cf, &cf.text("query", "%s"))?;
        let result = cf.text("result_format", "%s");
        Shape::read(&cf, &[&query], &result)
    }

    fn values(values: &[Option<&str>]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn values_are_formatted_and_joined() {
        let heard = Heard::default();
        let shape = shape(&heard, "result_format = <%s>\n").unwrap();
        let found = shape.answer(b"k", values(&[Some("a"), None, Some(""), Some("b,c")]));
        assert_eq!(found, Answer::Found(b"<a>,<b,c>".to_vec()));
        let label = shape.label();
        let warning = format!("table \"{label}\": empty lookup result for: \"k\" -- ignored");
        assert_eq!(heard.all(), [warning]);
        assert_eq!(shape.answer(b"k", values(&[None])), Answer::NotFound);
    }

    #[test]
    fn more_values_than_the_limit_are_a_temporary_failure() {
        let heard = Heard::default();
        let shape = shape(&heard, "expansion_limit = 1\n").unwrap();
        assert_eq!(shape.answer(b"k", values(&[Some("a"), Some("")])), Answer::Found(b"a".into()));
        let path = shape.path();
        let why = format!("dict_mysql_lookup: {path}: Expansion limit exceeded for key: 'k'");
        assert_eq!(shape.answer(b"k", values(&[Some("a"), Some("b")])), Answer::Retry(why));
    }

    #[test]
    fn bad_templates_are_told_as_postfix_tells_them() {
        let heard = Heard::default();
        let bad = |text: &str| shape(&heard, text).err().unwrap().0;
        assert!(bad("query = x%x\n").ends_with(": Invalid query template: x%x"));
        assert!(bad("result_format = %z\n").ends_with(": Invalid result template: %z"));
    }

    #[tokio::test]
    async fn keys_that_lack_a_part_of_either_template_are_not_asked_for() {
        let heard = Heard::default();
        let of_query = shape(&heard, "query = %d\n").unwrap();
        let of_result = shape(&heard, "result_format = %1\n").unwrap();
        for shape in [of_query, of_result] {
            assert_eq!(shape.is_asked(b"a@b").await, Ok(true));
            assert_eq!(shape.is_asked(b"a").await, Ok(false));
            assert_eq!(shape.is_asked(b"").await, Ok(false));
        }
    }
}
