//! MySQL's option files: `[group]`, `name = value`.
//!
//! Read when `option_file` names one: the group `client`, then `option_group`.
//!
//! **Diagnostics**: a file that is not there is as an empty one, as for MySQL's library; options
//! that ask for TLS are [`BadTable`].
//! **Standards**: "option_file" and "option_group" in mysql_table(5).

use tables::catalog::BadTable;

use crate::cf::Cf;

/// What such a file may give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub user: Option<String>,
    pub password: Option<String>,
    pub port: Option<u16>,
    pub socket: Option<String>,
}

impl Options {
    /// Of the files that `cf` names.
    pub fn read(cf: &Cf<'_>) -> Result<Self, BadTable> {
        let file = cf.text("option_file", "");
        if file.is_empty() {
            return Ok(Self::default());
        }
        let text = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut out = Self::default();
        for group in ["client".to_owned(), cf.text("option_group", "client")] {
            for (name, value) in group_options(&text, &group) {
                if !out.set(&name, value) {
                    let what =
                        format!("{file}: {name}: TLS is asked for with tls_ parameters, not here");
                    return Err(cf.bad(&what));
                }
            }
        }
        Ok(out)
    }

    /// Takes one option; false if it asks for TLS. Those of no concern are left out.
    fn set(&mut self, name: &str, value: String) -> bool {
        match name {
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "port" => self.port = value.parse().ok(),
            "socket" => self.socket = Some(value),
            "ssl" | "ssl-verify-server-cert" => {
                return matches!(value.to_ascii_lowercase().as_str(), "0" | "off" | "false");
            }
            "ssl-mode" => return matches!(&*value.to_ascii_uppercase(), "DISABLED" | "PREFERRED"),
            name if name.starts_with("ssl-") => return false,
            _ => {}
        }
        true
    }
}

/// Names, with `-` for `_`, and values of all groups called `group`.
fn group_options(text: &str, group: &str) -> Vec<(String, String)> {
    let (mut inside, mut out) = (false, Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) || line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.trim() == group;
        } else if inside {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let value = value.trim();
            let inner = value.strip_prefix(['"', '\'']).and_then(|v| v.strip_suffix(['"', '\'']));
            out.push((name.trim().replace('_', "-"), inner.unwrap_or(value).to_owned()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_in_order() {
        let text = "[mysqld]\nuser=x\n[client]\n# c\nuser = u\npassword=\"p w\"\n[other]\nport=7\n";
        let client = group_options(text, "client");
        let expected = [("user", "u"), ("password", "p w")];
        assert_eq!(client, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(group_options(text, "other"), [("port".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn options_that_ask_for_tls_are_not_taken() {
        let mut options = Options::default();
        assert!(options.set("ssl", "0".into()));
        assert!(!options.set("ssl", String::new()));
        assert!(!options.set("ssl-ca", "x".into()));
        assert!(options.set("ssl-mode", "preferred".into()));
        assert!(options.set("compress", String::new()));
        assert_eq!(options, Options::default());
    }
}
