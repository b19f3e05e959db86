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
mod scope;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::expand::{ExpandError, scan};
use crate::master_cf::{BadEntry, MasterCf};
use crate::params::{BadValue, Params, Setting, family, table};
use database::Table;
use scope::Scope;

/// The parameter whose value names parameters of the administrator's own.
pub const RESTRICTION_CLASSES: &str = "smtpd_restriction_classes";

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

impl Place {
    fn of(setting: &Setting<'_>) -> Self {
        Self {
            file: setting.file.to_string(),
            line: setting.line,
            name: setting.name.to_string(),
            value: setting.value.to_string(),
        }
    }
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
    let scopes: Vec<Scope<'_>> = scope::all(params, master).collect();
    let mentions: Vec<_> = scopes.iter().map(|scope| mentions(scope, master)).collect();
    // What only a service sets is for itself and for the values of main.cf it reads.
    let used = |at: usize, name: &str| match params.is_set(name) {
        true => mentions.iter().any(|names| names.contains(name)),
        false => mentions[at].contains(name) || mentions[0].contains(name),
    };
    let mut out = Vec::new();
    for (at, scope) in scopes.iter().enumerate() {
        for setting in &scope.settings {
            let name = setting.name;
            if !is_defined(name, master) {
                out.extend((!used(at, name)).then(|| Finding::Unused(Place::of(setting))));
            } else if !acts_on(name) && !acted_upon::is_as_here(name, setting.value) {
                let (place, restricts_senders) = (Place::of(setting), restricts_senders(name));
                out.push(Finding::NotActedUpon { place, restricts_senders });
            }
        }
    }
    out
}

/// Every value of main.cf that does not fit its kind.
pub fn bad_values(params: &Params) -> Vec<BadValue> {
    let known = params.set_names().filter(|s| crate::params::is_known(s.name));
    known.filter_map(|setting| params.check(setting.name).err()).collect()
}

/// Names that some value or restriction class mentions, or that a table a value names has.
pub fn mentioned(params: &Params, master: &MasterCf) -> BTreeSet<String> {
    scope::all(params, master).flat_map(|scope| mentions(&scope, master)).collect()
}

/// Those of one place.
fn mentions(scope: &Scope<'_>, master: &MasterCf) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for setting in &scope.settings {
        names.append(&mut scan(setting.value).names);
        names.extend(classes(scope, setting));
    }
    for table in scope_tables(scope, master).filter(|table| !table.has_file()) {
        names.extend(database::prefixed_parameters(&table.kind, &table.name));
    }
    names
}

/// The tables behind servers that a value names.
pub fn tables(params: &Params, master: &MasterCf) -> BTreeSet<Table> {
    let tables = |scope: Scope<'_>| scope_tables(&scope, master).collect::<Vec<_>>();
    scope::all(params, master).flat_map(tables).collect()
}

/// Those of one place; what nothing reads opens no table.
fn scope_tables(scope: &Scope<'_>, master: &MasterCf) -> impl Iterator<Item = Table> {
    let read = scope.settings.iter().filter(|setting| is_read(setting.name, master));
    let values = read.filter_map(|setting| scope.expanded(setting.value));
    values.flat_map(|value| database::tables(&value).collect::<Vec<_>>())
}

/// What is wrong with braces in values of Postfix's own, where tables are looked for; whether that
/// is in main.cf, and what.
pub fn bad_braces(params: &Params, master: &MasterCf) -> Vec<(bool, BadEntry)> {
    let errors = |scope: Scope<'_>| -> Vec<_> {
        let known = scope.immediate().filter(|setting| is_read(setting.name, master));
        let values = known.filter_map(|setting| scope.expanded(setting.value));
        let bad = values.flat_map(|value| database::bad_braces(&value));
        bad.map(|error| (scope.in_main_cf, error)).collect()
    };
    scope::all(params, master).flat_map(errors).collect()
}

/// What is wrong with references, whether or not they are ever looked up.
pub fn misread(params: &Params, master: &MasterCf) -> Vec<ExpandError> {
    let errors = |scope: Scope<'_>| -> Vec<_> {
        scope.immediate().flat_map(|setting| scan(setting.value).errors).collect()
    };
    scope::all(params, master).flat_map(errors).collect()
}

/// Settings of Postfix's own that cannot be expanded, and why.
pub fn malformed(params: &Params, master: &MasterCf) -> Vec<(String, ExpandError)> {
    let errors = |scope: Scope<'_>| -> Vec<_> {
        let known = scope.immediate().filter(|setting| is_read(setting.name, master));
        let bad = known.filter_map(|setting| {
            let error = scope.params.expand(setting.value).err()?;
            Some((setting.name.to_string(), error))
        });
        bad.collect()
    };
    scope::all(params, master).flat_map(errors).collect()
}

/// Names mentioned that nothing defines, with the file that mentions them: master.cf first.
pub fn undefined(params: &Params, master: &MasterCf) -> Vec<(String, String)> {
    let of_services: BTreeSet<&str> =
        master.overrides().flat_map(|o| o.settings).map(|(name, _)| name.as_str()).collect();
    let mut out = BTreeSet::new();
    for scope in scope::all(params, master) {
        let mut named = BTreeSet::new();
        for setting in scope.immediate() {
            named.append(&mut scan(setting.value).names);
            named.extend(classes(&scope, setting));
        }
        // What main.cf names may be for one service only.
        let defined = |name: &str| {
            scope.params.is_set(name)
                || is_defined(name, master)
                || scope.in_main_cf && of_services.contains(name)
        };
        named.retain(|name| !defined(name));
        out.extend(named.into_iter().map(|name| (scope.in_main_cf, scope.file.to_string(), name)));
    }
    out.into_iter().map(|(_, file, name)| (file, name)).collect()
}

/// The names of restriction classes that `setting` lists.
fn classes(scope: &Scope<'_>, setting: &Setting<'_>) -> Vec<String> {
    if setting.name != RESTRICTION_CLASSES {
        return Vec::new();
    }
    // What cannot be expanded names nothing; that it cannot is told by `malformed`.
    let Some(value) = scope.expanded_without_defaults(setting.value) else { return Vec::new() };
    let words = value.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.map(ToString::to_string).collect()
}

/// Whether Postfix knows `name`, given the services there are.
fn is_defined(name: &str, master: &MasterCf) -> bool {
    table::is_legacy(name) || is_read(name, master)
}

/// Whether some program of it asks for `name`; old names are only known.
fn is_read(name: &str, master: &MasterCf) -> bool {
    if table::find(name).is_some() {
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
