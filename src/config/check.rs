//! What `postfix check`, the start and postconf(1) say about a configuration as a whole.
//!
//! Pure: the caller supplies the parsed files and a predicate for what the engine acts upon, and
//! logs or prints what comes back.
//!
//! **Diagnostics**: [`Finding`]s are warnings; values that do not fit their kind come as
//! [`BadValue`] from [`bad_values`] and are fatal.

mod acted_upon;
pub mod common;
pub mod database;
mod hostname;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::expand::{ExpandError, references};
use crate::master_cf::MasterCf;
use crate::params::table::Kind;
use crate::params::{BadValue, Params, family, table};

/// Something an administrator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Set, not Postfix's, and mentioned nowhere.
    Unused(Place),
    /// Postfix's, but this engine does not act upon it yet.
    NotActedUpon {
        /// Where it is set.
        place: Place,
        /// Whether it would restrict who may send: mail may pass that should not.
        restricts_senders: bool,
    },
}

/// A setting and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The parameter.
    pub name: String,
    /// The value as written.
    pub value: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused(at) => {
                write!(f, "{}: unused parameter: {}={}", at.file, at.name, at.value)
            }
            Self::NotActedUpon { place: at, restricts_senders } => {
                let (file, line) = (&at.file, at.line);
                write!(
                    f,
                    "{file}, line {line}: parameter not acted upon: {}={}",
                    at.name, at.value
                )?;
                let more = "; mail may pass that it would stop";
                f.write_str(if *restricts_senders { more } else { "" })
            }
        }
    }
}

/// Unused settings and those that `acts_on` denies, main.cf first, by name.
pub fn findings(
    params: &Params,
    master: &MasterCf,
    acts_on: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let mentioned = mentioned(params, master);
    let known = |name: &str| is_defined(name, master);
    let mut out = Vec::new();
    for (file, line, name, value) in all_settings(params, master) {
        let place = || Place {
            file: file.to_string(),
            line,
            name: name.to_string(),
            value: value.to_string(),
        };
        if known(name) {
            if !acts_on(name) && !acted_upon::is_as_here(name, value) {
                let restricts_senders = restricts_senders(name);
                out.push(Finding::NotActedUpon { place: place(), restricts_senders });
            }
        } else if !mentioned.contains(name) {
            out.push(Finding::Unused(place()));
        }
    }
    out
}

/// Every value of main.cf that does not fit its kind.
pub fn bad_values(params: &Params) -> Vec<BadValue> {
    let known = params.set_names().filter(|s| crate::params::is_known(s.name));
    known.filter_map(|setting| params.check(setting.name).err()).collect()
}

/// Settings of main.cf by name, then the `-o` of each service.
fn all_settings<'a>(
    params: &'a Params,
    master: &'a MasterCf,
) -> impl Iterator<Item = (&'a str, u32, &'a str, &'a str)> {
    let main = params.set_names().map(|s| (s.file, s.line, s.name, s.value));
    let services = master.settings().map(|s| (master.file(), s.line, s.name, s.value));
    main.chain(services)
}

/// Names that some value or restriction class mentions, or that a table a value names has.
pub fn mentioned(params: &Params, master: &MasterCf) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, _, name, value) in all_settings(params, master) {
        names.extend(references(value));
        let expanded = expanded(params, value);
        names.extend(classes_in(name, &expanded).map(ToString::to_string));
        // What nothing reads opens no table.
        let tables = database::tables(if is_defined(name, master) { &expanded } else { "" });
        names.extend(tables.flat_map(|(kind, name)| database::parameters(kind, name)));
    }
    names
}

/// The value with what it refers to, as it stands if that cannot be.
fn expanded<'a>(params: &Params, value: &'a str) -> Cow<'a, str> {
    match value.contains('$') {
        true => params.expand(value).map_or(Cow::Borrowed(value), Cow::Owned),
        false => Cow::Borrowed(value),
    }
}

/// The settings of main.cf that cannot be expanded, and whether they are Postfix's: the others are
/// only looked through for names, which tells less.
pub fn malformed(params: &Params, master: &MasterCf) -> Vec<(bool, ExpandError)> {
    let raw =
        |name: &str| table::find(name).is_some_and(|row| matches!(row.kind, Kind::Raw { .. }));
    let settings = params.set_names().filter(|setting| !raw(setting.name));
    let bad = settings.filter_map(|setting| {
        let error = params.expand(setting.value).err()?;
        let known = is_defined(setting.name, master);
        let plain = matches!(error, ExpandError::Truncated(_) | ExpandError::EmptyName(_));
        (known || plain).then_some((known, error))
    });
    bad.collect()
}

/// Names mentioned that nothing defines, with the file that mentions them: master.cf first.
pub fn undefined(params: &Params, master: &MasterCf) -> Vec<(String, String)> {
    let mut out = BTreeSet::new();
    for (file, _, name, value) in all_settings(params, master) {
        let delayed = table::find(name).is_some_and(|row| matches!(row.kind, Kind::Raw { .. }));
        let names = if delayed { BTreeSet::new() } else { references(value) };
        let expanded = expanded(params, value);
        let classes = classes_in(name, &expanded).map(ToString::to_string);
        for used in names.into_iter().chain(classes) {
            if !params.is_set(&used) && !is_defined(&used, master) {
                out.insert((file != master.file(), file.to_string(), used));
            }
        }
    }
    out.into_iter().map(|(_, file, name)| (file, name)).collect()
}

/// The words of `value` when `name` lists restriction classes.
fn classes_in<'a>(name: &str, value: &'a str) -> impl Iterator<Item = &'a str> {
    let value = if name == "smtpd_restriction_classes" { value } else { "" };
    value.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// Whether Postfix knows `name`, given the services there are.
fn is_defined(name: &str, master: &MasterCf) -> bool {
    if table::find(name).is_some() || table::is_legacy(name) {
        return true;
    }
    family::of_name(name).is_some_and(|family| {
        let service = name.strip_suffix(family.suffix);
        service.is_some_and(|service| master.has_member(service, family))
    })
}

/// Parameters whose setting narrows who may send mail through or to this machine. When the engine
/// does not act upon one of them it must not start silently.
static RESTRICTING: &[&str] = &[
    "address_verify_map",
    "authorized_submit_users",
    "body_checks",
    "content_filter",
    "header_checks",
    "local_recipient_maps",
    "mime_header_checks",
    "mynetworks",
    "mynetworks_style",
    "nested_header_checks",
    "non_smtpd_milters",
    "permit_mx_backup_networks",
    "postscreen_access_list",
    "postscreen_bare_newline_action",
    "postscreen_bare_newline_enable",
    "postscreen_denylist_action",
    "postscreen_dnsbl_action",
    "postscreen_dnsbl_sites",
    "postscreen_enforce_tls",
    "postscreen_forbidden_commands",
    "postscreen_greet_action",
    "postscreen_helo_required",
    "postscreen_non_smtp_command_action",
    "postscreen_pipelining_action",
    "postscreen_tls_security_level",
    "qmqpd_authorized_clients",
    "relay_clientcerts",
    "relay_domains",
    "relay_recipient_maps",
    "smtpd_authorized_verp_clients",
    "smtpd_authorized_xclient_hosts",
    "smtpd_authorized_xforward_hosts",
    "smtpd_client_connection_count_limit",
    "smtpd_client_connection_rate_limit",
    "smtpd_client_message_rate_limit",
    "smtpd_client_recipient_rate_limit",
    "smtpd_enforce_tls",
    "smtpd_forbid_bare_newline",
    "smtpd_forbidden_commands",
    "smtpd_helo_required",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "smtpd_recipient_limit",
    "smtpd_reject_unlisted_recipient",
    "smtpd_reject_unlisted_sender",
    "smtpd_relay_before_recipient_restrictions",
    "smtpd_restriction_classes",
    "smtpd_sender_login_maps",
    "smtpd_tls_req_ccert",
    "smtpd_tls_security_level",
    "virtual_mailbox_maps",
];

/// Whether something in this system acts upon `name`.
pub fn acted_upon(name: &str) -> bool {
    acted_upon::NAMES.binary_search(&name).is_ok()
}

/// Whether setting `name` may restrict who may send.
pub fn restricts_senders(name: &str) -> bool {
    let list = name.starts_with("smtpd_") && name.ends_with("_restrictions");
    list || name.ends_with("_access_maps") || RESTRICTING.binary_search(&name).is_ok()
}
