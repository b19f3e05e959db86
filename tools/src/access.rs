//! Who may do what: configuration directories of set-gid commands, and lists of users.
//!
//! **Diagnostics**: [`Exit`] in Postfix's words.
//! **Standards**: postconf(5) `alternate_config_directories`, `multi_instance_directories`,
//! `authorized_submit_users` and its brothers.

use config::Params;

use crate::program::{Exit, Program};
use master::log::Level;
use master::settings::{self, DEFAULT_DIRECTORY, Settings};

/// The configuration directory of a call: the option's, the environment's, or the default.
///
/// A command that has a group its caller has not (set-gid) reads another than the default only when
/// the default main.cf lists it, or for root.
pub fn directory(program: &Program, option: Option<&str>, code: u8) -> Result<String, Exit> {
    let directory = settings::directory(option);
    let ids = (rustix::process::getuid(), rustix::process::geteuid());
    let groups = (rustix::process::getgid(), rustix::process::getegid());
    let trusted = ids.0 == ids.1 && groups.0 == groups.1 || ids.0.is_root();
    if trusted || directory == DEFAULT_DIRECTORY || listed(&directory) {
        return Ok(directory);
    }
    let text = format!("unauthorized configuration directory name: {directory}");
    program.say(Level::Error, text);
    let names = ["alternate_config_directories", "multi_instance_directories"];
    let [first, second] = names.map(|name| format!("\"{name} = {directory}\""));
    let file = format!("{DEFAULT_DIRECTORY}/main.cf");
    Err(Exit::new(code, format!("specify {first} or {second} in {file}")))
}

/// Whether the default main.cf lists `directory`.
fn listed(directory: &str) -> bool {
    let Ok(settings) = Settings::load(DEFAULT_DIRECTORY, "postfix") else { return false };
    ["alternate_config_directories", "multi_instance_directories"].into_iter().any(|name| {
        let words = settings.params.list(name).unwrap_or_default();
        words.iter().any(|word| word == directory)
    })
}

/// Whether the list in `name` has the user `uid`; the text of the refusal otherwise.
pub fn user_is_listed(params: &Params, name: &str, uid: u32) -> Result<(), String> {
    let login = master::accounts::of_uid(uid).map_or("unknown".to_owned(), |(login, _)| login);
    let words = params.list(name).map_err(|error| error.to_string())?;
    match matches(&words, &login, &|path| std::fs::read_to_string(path).ok()) {
        Some(true) => Ok(()),
        _ => Err(format!("User {login}({uid}) is not allowed to")),
    }
}

/// What the first element that matches `user` says; nothing when none does.
///
/// An element is a name, a file of names, `static:anything`, or any of these after `!`.
fn matches(words: &[String], user: &str, file: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    words.iter().find_map(|word| {
        let bare = word.trim_start_matches('!');
        let negated = (word.len() - bare.len()) % 2 == 1;
        let found = if bare.starts_with('/') {
            let names: Vec<String> = file(bare)?.split_whitespace().map(str::to_owned).collect();
            matches(&names, user, file)?
        } else {
            bare.starts_with("static:") || bare.eq_ignore_ascii_case(user)
        };
        found.then_some(!negated)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(list: &str, user: &str) -> Option<bool> {
        let words: Vec<String> = list.split(' ').map(str::to_owned).collect();
        matches(&words, user, &|path| (path == "/list").then(|| "carol\ndave".to_owned()))
    }

    #[test]
    fn the_first_element_that_matches_decides() {
        assert_eq!(says("static:anyone", "alice"), Some(true));
        assert_eq!(says("!bob static:all", "bob"), Some(false));
        assert_eq!(says("!bob static:all", "alice"), Some(true));
        assert_eq!(says("alice", "bob"), None);
        assert_eq!(says("/list", "dave"), Some(true));
        assert_eq!(says("!/list alice", "carol"), Some(false));
        assert_eq!(says("/none alice", "alice"), Some(true));
    }
}
