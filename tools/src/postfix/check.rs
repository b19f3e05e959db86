//! `postfix check`, and what `postfix start` checks first.
//!
//! **Diagnostics**: what would keep the system from starting is fatal; a value that does not fit
//! its parameter and a setting without effect are warnings, as Postfix's check passes over both.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use config::check;

use super::Call;
use crate::program::Exit;
use master::accounts::Accounts;
use master::directories;
use master::log::Level;

/// Group and other may write.
const WRITABLE: u32 = 0o022;

/// Warns about values and settings.
pub(super) fn findings(call: &Call<'_>) -> Result<(), Exit> {
    let params = &call.settings.params;
    let master = call.settings.master()?;
    let warn = |text: &dyn std::fmt::Display| call.program.say(Level::Warning, text);
    for bad in check::bad_values(params) {
        let text = bad.to_string();
        let text = text.strip_prefix("fatal: ").unwrap_or(&text);
        warn(&format!("{}, line {}: {text}", bad.file, bad.line));
    }
    master.warnings().iter().for_each(|warning| warn(warning));
    for (file, name) in check::undefined(params, &master) {
        warn(&format!("{file}: undefined parameter: {name}"));
    }
    for finding in check::findings(params, &master, &check::acted_upon) {
        warn(&finding);
    }
    Ok(())
}

/// Makes missing directories and looks at owners and modes.
pub(super) fn installation(call: &Call<'_>) -> Result<(), Exit> {
    let settings = &call.settings;
    let file = format!("{}/master.cf", settings.directory);
    if !Path::new(&file).is_file() {
        return Err(Exit::new(1, format!("no {file} file found")));
    }
    settings.master()?;
    let accounts = Accounts::find(&settings.params)?;
    let (queue, data) = (settings.queue()?, settings.text("data_directory")?);
    directories::create_missing(&queue, Path::new(&data), &accounts)?;
    let root = if accounts.root { 0 } else { accounts.uid };
    let owned = [(queue.clone(), root), (queue.join("pid"), root), (data.into(), accounts.uid)];
    for (path, uid) in owned {
        ownership(call, &path, uid)?;
    }
    Ok(())
}

fn ownership(call: &Call<'_>, path: &Path, uid: u32) -> Result<(), Exit> {
    let data = path.metadata();
    let data = data.map_err(|error| master::Fatal::system(path.display(), error))?;
    let shown = path.display();
    let warn = |text: String| call.program.say(Level::Warning, text);
    if data.uid() != uid {
        let owner = master::accounts::of_uid(uid).map_or(uid.to_string(), |(name, _)| name);
        warn(format!("not owned by {owner}: {shown}"));
    }
    if data.permissions().mode() & WRITABLE != 0 {
        warn(format!("group or other writable: {shown}"));
    }
    Ok(())
}
