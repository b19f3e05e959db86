//! Editing main.cf (-e, -X, -#): by lines, comments and order kept, replaced in one step.
//!
//! The new text is written beside the file, synced and renamed over it, with the mode and owner of
//! the old one.
//!
//! **Diagnostics**: as postconf(1). Unlike Postfix a last line without its line end is completed
//! before new settings are appended, and the file's mode is kept.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use config::main_cf::split_name_value;

use super::mode::{How, Request};
use super::{Fatal, Output};
use crate::system::reason;

/// One change asked for.
struct Change {
    name: String,
    /// `name = value`, for [`How::Set`].
    line: String,
    lines_seen: u32,
}

/// Edits main.cf as `request` asks.
pub(super) fn main_cf(request: &Request, how: How, out: &mut Output) -> Result<(), Fatal> {
    if request.names.is_empty() {
        return Err(Fatal(match how {
            How::Set => "-e requires name=value argument".to_owned(),
            How::Remove | How::CommentOut => "missing service argument".to_owned(),
        }));
    }
    let mut changes = Vec::new();
    for text in &request.names {
        add_change(&mut changes, change(text, how)?, out);
    }
    let path = format!("{}/main.cf", request.directory());
    let old = read_to_edit(&path)?;
    let new = edited(&old, &mut changes, how);
    for change in changes.iter().filter(|change| change.lines_seen > 1) {
        out.warn(&format!("{path}: multiple entries for \"{}\"", change.name));
    }
    replace(&path, &new)
}

/// The file's bytes. Postfix opens the new file first, which tells whether the directory is there.
pub(super) fn read_to_edit(path: &str) -> Result<Vec<u8>, Fatal> {
    fs::read(path).map_err(|error| {
        let there = Path::new(path).parent().is_some_and(Path::exists);
        let what = if there { format!("{path} for reading") } else { format!("{path}.tmp") };
        Fatal(format!("open {what}: {}", reason(&error)))
    })
}

fn change(text: &str, how: How) -> Result<Change, Fatal> {
    if text.contains('\n') {
        return Err(Fatal("-e, -X, or -# accepts no multi-line input".to_owned()));
    }
    let text = text.trim_ascii_start();
    if text.starts_with('#') {
        return Err(Fatal("-e, -X, or -# accepts no comment input".to_owned()));
    }
    if how != How::Set {
        if text.is_empty() {
            return Err(Fatal("-X or -# requires non-blank parameter names".to_owned()));
        }
        if text.contains('=') {
            return Err(Fatal("-X or -# requires parameter names without value".to_owned()));
        }
        return Ok(Change { name: text.to_owned(), line: String::new(), lines_seen: 0 });
    }
    let (name, value) =
        split_name_value(text).map_err(|bad| Fatal(format!("{bad}: \"{text}\"")))?;
    Ok(Change { name: name.to_owned(), line: format!("{name} = {value}"), lines_seen: 0 })
}

/// Of two changes to one name the later counts.
fn add_change(changes: &mut Vec<Change>, new: Change, out: &mut Output) {
    match changes.iter_mut().find(|old| old.name == new.name) {
        Some(old) => {
            if !old.line.is_empty() {
                out.warn(&format!("ignoring earlier request: '{}'", old.line));
            }
            *old = new;
        }
        None => changes.push(new),
    }
}

/// What the lines that continue a setting are to become.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Continuation {
    Keep,
    Drop,
    CommentOut,
}

/// The new text of the file.
fn edited(old: &[u8], changes: &mut [Change], how: How) -> Vec<u8> {
    let mut new = Vec::with_capacity(old.len());
    let mut continuation = Continuation::Keep;
    for line in old.split_inclusive(|b| *b == b'\n') {
        let kind = kind_of(line);
        if kind == Kind::Setting {
            let change = changes.iter_mut().find(|change| is_for(line, &change.name));
            continuation = apply(line, change, how, &mut new);
            continue;
        }
        match (kind, continuation) {
            (Kind::Continuation, Continuation::Drop) => {}
            (Kind::Continuation, Continuation::CommentOut) => {
                new.push(b'#');
                new.extend_from_slice(line);
            }
            _ => new.extend_from_slice(line),
        }
    }
    let missing = changes.iter().filter(|change| how == How::Set && change.lines_seen == 0);
    for change in missing {
        if new.last().is_some_and(|last| *last != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(change.line.as_bytes());
        new.push(b'\n');
    }
    new
}

/// Writes what becomes of a setting's first line.
fn apply(line: &[u8], change: Option<&mut Change>, how: How, new: &mut Vec<u8>) -> Continuation {
    let Some(change) = change else {
        new.extend_from_slice(line);
        return Continuation::Keep;
    };
    change.lines_seen += 1;
    match how {
        How::Set => {
            new.extend_from_slice(change.line.as_bytes());
            new.push(b'\n');
            Continuation::Drop
        }
        How::Remove => Continuation::Drop,
        How::CommentOut => {
            new.push(b'#');
            new.extend_from_slice(line);
            Continuation::CommentOut
        }
    }
}

/// A physical line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Comment,
    Continuation,
    Setting,
}

pub(super) fn kind_of(line: &[u8]) -> Kind {
    match line.trim_ascii_start().first() {
        None | Some(b'#') => Kind::Comment,
        Some(_) if matches!(line[0], b' ' | b'\t') => Kind::Continuation,
        Some(_) => Kind::Setting,
    }
}

fn is_for(line: &[u8], name: &str) -> bool {
    let end = line.iter().position(|b| b.is_ascii_whitespace() || *b == b'=');
    &line[..end.unwrap_or(line.len())] == name.as_bytes()
}

/// Replaces `path` in one step; readers see the old or the new text, never a part.
pub(super) fn replace(path: &str, text: &[u8]) -> Result<(), Fatal> {
    let done = put(Path::new(path), text);
    done.map_err(|error| Fatal(format!("edit {path}: {}", reason(&error))))
}

fn put(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let old = fs::metadata(path)?;
    let beside = path.with_extension("cf.tmp");
    let mut file = File::create(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
