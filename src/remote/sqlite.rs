//! `sqlite:`, a database in a file.
//!
//! The query goes out as text; its first statement is run, the first column of each row is a
//! value. The library works on a thread beside the loop, since it waits for locks and the disk. A
//! file that was replaced is opened anew.
//!
//! **Diagnostics**: a mistake of the .cf file at open. A database that cannot be opened or asked is
//! to be retried, in the words with which Postfix would end.
//! **Limits**: [`BUSY_LIMIT`]; [`crate::shape::ANSWER_BYTES_MAX`]; one lookup at a time.
//! **Standards**: sqlite_table(5).

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, OpenFlags};
use tables::catalog::{BadTable, Name};

use crate::Answer;
use crate::cf::{Cf, Setting};
use crate::quote;
use crate::shape::{self, ANSWER_BYTES_MAX, Shape};
use crate::template::Template;

/// To wait for the locks of others.
pub const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// A table.
pub(crate) struct Sqlite {
    shape: Shape,
    query: Template,
    file: Arc<File>,
}

/// The database.
struct File {
    path: String,
    open: Mutex<Option<Open>>,
}

/// An open one, and which file it is.
struct Open {
    connection: Connection,
    device: u64,
    inode: u64,
}

impl Sqlite {
    /// Reads the .cf file.
    pub fn open(name: &Name, setting: &Setting<'_>) -> Result<Self, BadTable> {
        let cf = Cf::read(name, setting)?;
        let path = cf.filled("dbpath", "")?;
        let query = match cf.get("query").filter(|text| !text.is_empty()) {
            Some(query) => query,
            None => shape::legacy_query(&cf)?,
        };
        let result = cf.filled("result_format", "%s")?;
        let query = shape::query(&cf, &query)?;
        let shape = Shape::read(&cf, &[&query], &result)?;
        Ok(Self { shape, query, file: Arc::new(File { path, open: Mutex::new(None) }) })
    }

    /// Asks.
    pub async fn lookup(&self, key: &[u8]) -> Answer {
        if let Err(answer) = self.shape.admit(key).await {
            return answer;
        }
        let sql = String::from_utf8(self.query.fill(key, b"", &quote::doubled));
        // What is not UTF-8, or has a NUL byte, is in no database.
        let Some(sql) = sql.ok().filter(|sql| !sql.contains('\0')) else {
            return Answer::NotFound;
        };
        let file = self.file.clone();
        let asked = tokio::task::spawn_blocking(move || file.ask(&sql)).await;
        match asked {
            Ok(Ok(values)) => self.shape.answer(key, values),
            Ok(Err(why)) => {
                let path = self.shape.path();
                Answer::Retry(format!("dict_sqlite_lookup: {path}: {why}"))
            }
            Err(_) => Answer::Retry(format!("{}: lookup was given up", self.shape.label())),
        }
    }
}

impl File {
    /// The first column of all rows.
    fn ask(&self, sql: &str) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::fs::metadata(&self.path).ok();
        let now = now.map(|data| (data.dev(), data.ino()));
        let known = open.as_ref().map(|open| (open.device, open.inode));
        if open.is_none() || now != known {
            *open = None;
            let connection = self
                .connect()
                .map_err(|error| format!("Can't open database {}: {}", self.path, words(&error)))?;
            let (device, inode) = now.unwrap_or_default();
            *open = Some(Open { connection, device, inode });
        }
        match open.as_ref() {
            Some(open) => first_column(&open.connection, sql),
            None => Ok(Vec::new()),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_LIMIT)?;
        Ok(connection)
    }
}

fn first_column(connection: &Connection, sql: &str) -> Result<Vec<Option<Vec<u8>>>, String> {
    let prepare = |error| format!("SQL prepare failed: {}", words(&error));
    let step = |error| format!("SQL step failed: {}", words(&error));
    let mut batch = Batch::new(connection, sql);
    let Some(mut statement) = batch.next().map_err(prepare)? else { return Ok(Vec::new()) };
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let (mut values, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(step)? {
        let value = match columns {
            0 => None,
            _ => row.get_ref(0).and_then(|value| text(connection, value)).map_err(step)?,
        };
        bytes += value.as_ref().map_or(0, Vec::len);
        values.push(value);
        if bytes > ANSWER_BYTES_MAX {
            return Err("answer too long".to_owned());
        }
    }
    Ok(values)
}

/// A value as text; how a number that is no integer is written, SQLite itself is asked.
fn text(connection: &Connection, value: ValueRef<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => {
            let written =
                connection.query_row("SELECT CAST(?1 AS TEXT)", [number], |row| row.get(0));
            Some(String::into_bytes(written?))
        }
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            Some(text[..end].to_vec())
        }
    })
}

/// What an error says, without the class of errors it is in.
fn words(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Heard, open, refused};

    const ROWS: &str = "create table t(k, v, w);\
        insert into t values('a@b.c','x','y'), ('a@b.c','x2',null), ('e@x.y','',''),\
        ('n@x.y',null,null), ('o''brien@x','ob@z','q');";

    fn database() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db").to_str().unwrap().to_owned();
        Connection::open(&path).unwrap().execute_batch(ROWS).unwrap();
        (dir, path)
    }

    async fn ask(path: &str, query: &str, key: &str) -> (Answer, Heard) {
        let text = format!("dbpath = {path}\nquery = {query}\n");
        let (client, file, heard) = open("sqlite", &text);
        let answer = match client.lookup(key.as_bytes()).await {
            Answer::Retry(why) => Answer::Retry(why.replace(&file.path, "FILE")),
            answer => answer,
        };
        (answer, heard)
    }

    #[tokio::test]
    async fn the_first_column_of_all_rows_is_found() {
        let (_dir, path) = database();
        let query = "select v, w from t where k = '%s'";
        let found = |text: &str| Answer::Found(text.into());
        for (key, expected) in [
            ("a@b.c", found("x,x2")),
            ("o'brien@x", found("ob@z")),
            ("n@x.y", Answer::NotFound),
            ("none", Answer::NotFound),
            ("' or '1'='1", Answer::NotFound),
        ] {
            let (answer, heard) = ask(&path, query, key).await;
            assert_eq!((answer, heard.all().len()), (expected, 0), "{key}");
        }
        let (answer, heard) = ask(&path, query, "e@x.y").await;
        assert_eq!((answer, heard.all().len()), (Answer::NotFound, 1));
    }

    #[tokio::test]
    async fn any_query_is_run_as_postfix_runs_it() {
        let (_dir, path) = database();
        let found = |text: &str| Answer::Found(text.into());
        for (query, expected) in [
            ("select '%s'; select 'b'", found("k")),
            ("select 3.5", found("3.5")),
            ("select 1e20", found("1.0e+20")),
            ("select x'41420043'", found("AB")),
            ("select -7", found("-7")),
            ("insert into t values('%s', '1', '2')", Answer::NotFound),
            ("select v from t where k = '%s'", found("1")),
        ] {
            assert_eq!(ask(&path, query, "k").await.0, expected, "{query}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_a_temporary_failure() {
        let (dir, path) = database();
        let failed = "dict_sqlite_lookup: FILE: SQL prepare failed: ";
        let retry = |what: &str| Answer::Retry(format!("{failed}{what}"));
        let (answer, _) = ask(&path, "select nocol from t", "k").await;
        assert_eq!(answer, retry("no such column: nocol"));
        let missing = dir.path().join("missing");
        let (Answer::Retry(why), _) = ask(missing.to_str().unwrap(), "select 1", "k").await else {
            panic!("an answer")
        };
        assert!(why.contains("unable to open database file"), "{why}");
        assert!(!missing.exists());
    }

    #[tokio::test]
    async fn a_replaced_file_is_opened_anew() {
        let (dir, path) = database();
        let text = format!("dbpath = {path}\nquery = select v from t where k = '%s'\n");
        let (client, ..) = open("sqlite", &text);
        assert_eq!(client.lookup(b"o'brien@x").await, Answer::Found(b"ob@z".into()));
        let next = dir.path().join("next");
        let rows = "create table t(k, v); insert into t values('o''brien@x', 'new')";
        Connection::open(&next).unwrap().execute_batch(rows).unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_eq!(client.lookup(b"o'brien@x").await, Answer::Found(b"new".into()));
    }

    #[test]
    fn what_the_file_must_have_is_told_as_postfix_tells_it() {
        for (text, what) in [
            ("query = x\n", "dbpath"),
            ("dbpath = x\n", "table"),
            ("dbpath = x\nquery = x\nresult_format =\n", "result_format"),
        ] {
            let expected = format!("FILE: bad string length 0 < 1: {what} = ");
            assert_eq!(refused("sqlite", text), expected);
        }
    }
}
