//! main.cf and master.cf as one start or reload reads them.
//!
//! Used by the supervisor and by every command; the result is immutable.
//!
//! **Diagnostics**: [`Fatal`] in Postfix's words with file and line; what Postfix only warns about
//! is in [`Settings::warnings`].

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use config::{Host, MainCf, MasterCf, Params};

use crate::Fatal;
use crate::system::{self, Files};

/// Where configuration is when nobody says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/etc/postfix";
/// The environment variable that says otherwise.
pub const ENVIRONMENT: &str = "MAIL_CONFIG";

/// One reading of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration directory.
    pub directory: String,
    /// main.cf.
    pub params: Params,
    /// What Postfix would warn about.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads `directory`/main.cf.
    pub fn load(directory: &str, program: &str) -> Result<Self, Fatal> {
        let mut main =
            MainCf::read(&Files, &format!("{directory}/main.cf")).map_err(Fatal::config)?;
        let warnings = main.warnings().iter().map(ToString::to_string).collect();
        main.set("config_directory", directory);
        let host = system::host(program).map_err(|error| Fatal::system("interfaces", error))?;
        let params = Params::new(main, host);
        let params = with_resolved(params);
        Ok(Self { directory: directory.to_owned(), params, warnings })
    }

    /// Reads `directory`/master.cf.
    pub fn master(&self) -> Result<MasterCf, Fatal> {
        MasterCf::read(&Files, &format!("{}/master.cf", self.directory)).map_err(Fatal::config)
    }

    /// A text parameter.
    pub fn text(&self, name: &str) -> Result<String, Fatal> {
        self.params.text(name).map_err(Fatal::config)
    }

    /// A time parameter, in seconds.
    pub fn seconds(&self, name: &str) -> Result<u64, Fatal> {
        self.params.seconds(name).map_err(Fatal::config)
    }

    /// A yes-or-no parameter.
    pub fn flag(&self, name: &str) -> Result<bool, Fatal> {
        self.params.flag(name).map_err(Fatal::config)
    }

    /// `queue_directory`.
    pub fn queue(&self) -> Result<PathBuf, Fatal> {
        self.text("queue_directory").map(PathBuf::from)
    }

    /// `mail_version`.
    pub fn version(&self) -> String {
        self.params.text("mail_version").unwrap_or_default()
    }
}

/// The directory in use: the option's, else the environment's, else the default.
pub fn directory(option: Option<&str>) -> String {
    let environment = std::env::var(ENVIRONMENT).ok().filter(|name| !name.is_empty());
    option.map(str::to_owned).or(environment).unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned())
}

/// Adds the addresses of names that `inet_interfaces` lists.
fn with_resolved(params: Params) -> Params {
    // A value that cannot be expanded is an error where it is read.
    let words = params.list("inet_interfaces").unwrap_or_default();
    let special = |word: &str| matches!(word, "all" | "loopback-only");
    let mut resolved = BTreeMap::new();
    for word in words.iter().filter(|word| !special(word) && literal(word).is_none()) {
        if let Some(addresses) = resolve(word) {
            resolved.insert(word.clone(), addresses);
        }
    }
    if resolved.is_empty() {
        return params;
    }
    let host = Host { resolved, ..params.host().clone() };
    Params::new(params.main().clone(), host)
}

/// An address with or without brackets.
pub fn literal(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    bare.strip_prefix("ipv6:").unwrap_or(bare).parse().ok()
}

/// Every address of a host name, each once.
pub fn resolve(name: &str) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for found in (name, 0).to_socket_addrs().ok()? {
        if !addresses.contains(&found.ip()) {
            addresses.push(found.ip());
        }
    }
    Some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        std::fs::write(dir.path().join("main.cf"), "a = b\nfoo\n").unwrap();
        let error = Settings::load(&path, "master").unwrap_err().0;
        assert_eq!(
            error,
            format!("{path}/main.cf, line 2: missing '=' after attribute name: \"foo\"")
        );
    }

    #[test]
    fn a_name_in_inet_interfaces_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        std::fs::write(dir.path().join("main.cf"), "inet_interfaces = localhost, [::1]\n").unwrap();
        let settings = Settings::load(&path, "master").unwrap();
        let resolved = &settings.params.host().resolved;
        assert_eq!(resolved.keys().collect::<Vec<_>>(), ["localhost"]);
        assert_eq!(settings.text("config_directory"), Ok(path));
    }
}
