//! Every parameter of Postfix, typed: main.cf, then overrides from master.cf, then defaults.
//!
//! Built once per snapshot by the engine, the supervisor and the tools; cloning is cheap, so that
//! each service has its own with its `-o` overrides. Look-ups parse and expand each time: callers
//! keep the typed value, not the [`Params`], on hot paths.
//!
//! **Diagnostics**: [`BadValue`] is the administrator's mistake. Asking for a name that is not in
//! the table, or with the wrong type, is our bug and panics with the name.
//! **Standards**: postconf(5) of Postfix 3.7.

pub mod family;
pub mod table;
#[cfg(test)]
mod tests;
mod value;

pub use value::{BadValue, Reason, split};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use table::Kind;
use value::Typed;

use crate::expand::{self, ExpandError};
use crate::host::{self, Host, Selection, Style};
use crate::level::Level;
use crate::main_cf::MainCf;
use crate::master_cf::Service;

/// Parameters of one service: main.cf and the service's overrides.
#[derive(Clone, Debug)]
pub struct Params {
    main: Arc<MainCf>,
    host: Arc<Host>,
    overrides: Arc<BTreeMap<String, String>>,
}

/// A setting as [`Params::set_names`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The parameter.
    pub name: &'a str,
    /// Its value as written.
    pub value: &'a str,
    /// The file.
    pub file: &'a str,
    /// The line, from 1; 0 when the program set it.
    pub line: u32,
}

/// How a known name is read and what it falls back to.
struct Known {
    kind: Kind,
    fallback: Cow<'static, str>,
}

impl Params {
    /// Parameters without overrides.
    pub fn new(main: MainCf, host: Host) -> Self {
        Self { main: Arc::new(main), host: Arc::new(host), overrides: Arc::default() }
    }

    /// The same with `name = value` pairs that go before main.cf; later pairs win.
    #[must_use]
    pub fn with_overrides(&self, overrides: &[(String, String)]) -> Self {
        let mut all = BTreeMap::clone(&self.overrides);
        all.extend(overrides.iter().cloned());
        Self { overrides: Arc::new(all), ..self.clone() }
    }

    /// The parameters of a service of master.cf: its `-o` options, and `service_name`.
    #[must_use]
    pub fn of_service(&self, service: &Service) -> Self {
        let name = ("service_name".into(), service.name.clone());
        let own = core::iter::once(name).chain(service.overrides.iter().cloned());
        self.with_overrides(&own.collect::<alloc::vec::Vec<_>>())
    }

    /// The main.cf behind these parameters.
    pub fn main(&self) -> &MainCf {
        &self.main
    }

    /// The facts behind computed defaults.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A text parameter, expanded; [`Kind::Raw`] text as written, for its user to expand.
    pub fn text(&self, name: &str) -> Result<String, BadValue> {
        self.read(name).map(|(text, _)| text)
    }

    /// Any parameter as written, unexpanded.
    pub fn raw(&self, name: &str) -> Result<String, BadValue> {
        let known = self.known(name);
        match known.kind {
            Kind::Raw { .. } => self.text(name),
            _ => Ok(self.unexpanded(name, Some(&known)).into_owned()),
        }
    }

    /// A yes-or-no parameter.
    pub fn flag(&self, name: &str) -> Result<bool, BadValue> {
        match self.read(name)?.1 {
            Typed::Bool(value) => Ok(value),
            _ => panic!("{name} is not a yes-or-no parameter"),
        }
    }

    /// A whole-number parameter.
    pub fn int(&self, name: &str) -> Result<i64, BadValue> {
        match self.read(name)?.1 {
            Typed::Int(value) => Ok(value),
            _ => panic!("{name} is not a whole-number parameter"),
        }
    }

    /// A time parameter, in seconds.
    pub fn seconds(&self, name: &str) -> Result<u64, BadValue> {
        match self.read(name)?.1 {
            Typed::Seconds(value) => Ok(value),
            _ => panic!("{name} is not a time parameter"),
        }
    }

    /// The words of a text parameter: separated by commas and white space; `{...}` stays
    /// together, with its braces.
    pub fn list(&self, name: &str) -> Result<Vec<String>, BadValue> {
        self.text(name).map(|text| value::split(&text))
    }

    /// A list under a name of the administrator's own (`smtpd_restriction_classes`); nothing when
    /// main.cf does not have it.
    ///
    /// # Errors
    /// The value cannot be expanded.
    pub fn own_list(&self, name: &str) -> Result<Option<Vec<String>>, BadValue> {
        let Some(raw) = self.written(name) else { return Ok(None) };
        let text = self.expand(raw).map_err(|e| self.bad(name, raw, Reason::Expand(e)))?;
        Ok(Some(value::split(&text)))
    }

    /// The value of any name that main.cf has, expanded as far as that is possible.
    pub fn own_text(&self, name: &str) -> Option<String> {
        let raw = self.written(name)?;
        Some(self.expand(raw).unwrap_or_else(|_| raw.into()))
    }

    /// `compatibility_level`.
    pub fn level(&self) -> Result<Level, BadValue> {
        match self.read("compatibility_level")?.1 {
            Typed::Level(level) => Ok(level),
            _ => panic!("compatibility_level is not a level"),
        }
    }

    /// A member of a per-transport family, for example `("relay", "_destination_rate_delay")`.
    pub fn transport_text(&self, transport: &str, suffix: &str) -> Result<String, BadValue> {
        self.text(&member(transport, suffix))
    }

    /// A whole-number member of a per-transport family.
    pub fn transport_int(&self, transport: &str, suffix: &str) -> Result<i64, BadValue> {
        self.int(&member(transport, suffix))
    }

    /// A time member of a per-transport family, in seconds.
    pub fn transport_seconds(&self, transport: &str, suffix: &str) -> Result<u64, BadValue> {
        self.seconds(&member(transport, suffix))
    }

    /// Whether main.cf or an override sets `name`.
    pub fn is_set(&self, name: &str) -> bool {
        self.written(name).is_some()
    }

    /// What main.cf sets, by name.
    pub fn set_names(&self) -> impl Iterator<Item = Setting<'_>> {
        let file = self.main.file();
        self.main.iter().map(move |(name, entry)| Setting {
            name,
            value: &entry.value,
            file,
            line: entry.line,
        })
    }

    /// What main.cf sets and Postfix does not know: usable in `$name`, else unused.
    pub fn user_defined(&self) -> impl Iterator<Item = Setting<'_>> {
        self.set_names().filter(|s| !is_known(s.name) && !table::is_legacy(s.name))
    }

    /// Expands any text with these parameters, as in a value of main.cf.
    pub fn expand(&self, text: &str) -> Result<String, ExpandError> {
        expand::expand(text, &|name| self.value_of(name))
    }

    /// The unexpanded value of any name, Postfix's own or not, or nothing.
    pub fn value_of(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(written) = self.written(name) {
            return Some(Cow::Borrowed(written));
        }
        self.find(name).map(|known| known.fallback)
    }

    /// The unexpanded default of `name`, computed if need be; nothing for an unknown name.
    pub fn default_of(&self, name: &str) -> Option<String> {
        self.find(name).map(|known| known.fallback.into_owned())
    }

    /// Checks that the value of `name` fits its kind.
    pub fn check(&self, name: &str) -> Result<(), BadValue> {
        self.read(name).map(|_| ())
    }

    fn written(&self, name: &str) -> Option<&str> {
        let over = self.overrides.get(name).map(String::as_str);
        over.or_else(|| self.main.get(name).map(|entry| entry.value.as_str()))
    }

    fn find(&self, name: &str) -> Option<Known> {
        if let Some(row) = table::find(name) {
            let fallback = row.default_text().unwrap_or_else(|| self.computed(name));
            return Some(Known { kind: row.kind, fallback });
        }
        family::of_name(name).map(|family| Known {
            kind: family.kind,
            fallback: Cow::Owned(alloc::format!("${}", family.base)),
        })
    }

    fn known(&self, name: &str) -> Known {
        self.find(name).unwrap_or_else(|| panic!("{name} is not a Postfix parameter"))
    }

    fn unexpanded(&self, name: &str, known: Option<&Known>) -> Cow<'_, str> {
        match self.written(name) {
            Some(written) => Cow::Borrowed(written),
            None => known.map_or(Cow::Borrowed(""), |known| known.fallback.clone()),
        }
    }

    fn read(&self, name: &str) -> Result<(String, Typed), BadValue> {
        let known = self.known(name);
        if name == "mynetworks" && !self.is_set(name) {
            return self.own_networks().map(|text| (text, Typed::Text));
        }
        let raw = self.unexpanded(name, Some(&known));
        let text = match known.kind {
            Kind::Raw { .. } => raw.into_owned(),
            _ => self.expand(&raw).map_err(|e| self.bad(name, &raw, Reason::Expand(e)))?,
        };
        match value::typed(known.kind, &text, default_unit(&known)) {
            Ok(typed) => Ok((text, typed)),
            Err(why) => Err(self.bad(name, &text, why)),
        }
    }

    /// The value of a parameter has a word that is not one of those it may have; `what` is
    /// Postfix's name for them.
    pub fn unknown_word(&self, name: &str, what: &'static str, word: &str) -> BadValue {
        let value = self.text(name).unwrap_or_default();
        self.bad(name, &value, Reason::Unknown { what, word: word.into() })
    }

    /// A table that a parameter names cannot be opened (`daemon_table_open_error_is_fatal`).
    pub fn unusable_table(&self, name: &str, why: &str) -> BadValue {
        let value = self.text(name).unwrap_or_default();
        self.bad(name, &value, Reason::Table(why.into()))
    }

    fn bad(&self, name: &str, value: &str, reason: Reason) -> BadValue {
        let entry = self.main.get(name).filter(|_| !self.overrides.contains_key(name));
        BadValue {
            file: entry.map_or("", |_| self.main.file()).into(),
            line: entry.map_or(0, |entry| entry.line),
            name: name.into(),
            value: value.into(),
            reason: Box::new(reason),
        }
    }

    /// A computed default. One that cannot be computed is empty here, and an error where its own
    /// parameter, or the one it is computed from, is read.
    fn computed(&self, name: &str) -> Cow<'static, str> {
        Cow::Owned(match name {
            "myhostname" => self.host.my_hostname(self.written("mydomain")),
            "mydomain" if self.is_set("myhostname") => {
                let named = self.without("mydomain").text("myhostname");
                host::my_domain(&named.unwrap_or_default())
            }
            "mydomain" => host::my_domain(&self.host.my_hostname(None)),
            "mynetworks" => self.own_networks().unwrap_or_default(),
            "process_id" => self.host.process_id.to_string(),
            "process_name" => self.host.process_name.clone(),
            _ => String::new(),
        })
    }

    /// The same, with `name` empty where its default would be computed: what a computed default is
    /// made from may refer to it (`myhostname = mail.$mydomain`), and must not go round for ever.
    /// Postfix takes it as empty there, too.
    fn without(&self, name: &str) -> Self {
        match self.is_set(name) {
            true => self.clone(),
            false => self.with_overrides(&[(name.into(), String::new())]),
        }
    }

    /// The default of `mynetworks`.
    fn own_networks(&self) -> Result<String, BadValue> {
        self.without("mynetworks").networks_of_interfaces()
    }

    fn networks_of_interfaces(&self) -> Result<String, BadValue> {
        let style_text = self.text("mynetworks_style")?;
        let style = Style::parse(&style_text).ok_or_else(|| {
            let what = "mynetworks mask style";
            let reason = Reason::Unknown { what, word: style_text.clone() };
            self.bad("mynetworks_style", &style_text, reason)
        })?;
        let interfaces = self.list("inet_interfaces")?;
        let (ipv4, ipv6) = self.protocols()?;
        let selection = Selection { interfaces: &interfaces, ipv4, ipv6 };
        host::networks(&self.host, style, &selection).map_err(|missing| {
            let value = interfaces.join(", ");
            self.bad("inet_interfaces", &value, Reason::HostNotFound(missing))
        })
    }

    /// Checks that each name in `inet_interfaces` is an address of this host.
    pub fn check_interfaces(&self) -> Result<(), BadValue> {
        let text = self.text("inet_interfaces")?;
        let words = value::split(&text);
        let (ipv4, ipv6) = self.protocols()?;
        let selection = Selection { interfaces: &words, ipv4, ipv6 };
        host::check_interfaces(&self.host, &selection)
            .map_err(|reason| self.bad("inet_interfaces", &text, reason))
    }

    /// Whether `inet_protocols` names IPv4 and IPv6.
    pub fn protocols(&self) -> Result<(bool, bool), BadValue> {
        let (mut ipv4, mut ipv6) = (false, false);
        let text = self.text("inet_protocols")?;
        for word in value::split(&text) {
            match word.as_str() {
                "all" => (ipv4, ipv6) = (true, true),
                "ipv4" => ipv4 = true,
                "ipv6" => ipv6 = true,
                _ => {
                    let reason = Reason::Unknown { what: "inet_protocols", word };
                    return Err(self.bad("inet_protocols", &text, reason));
                }
            }
        }
        Ok((ipv4, ipv6))
    }
}

/// The unit of a bare number: that of the default, which may refer to another's default.
fn default_unit(known: &Known) -> u8 {
    let base = known.fallback.strip_prefix('$').and_then(table::find);
    let base = base.and_then(table::Row::default_text);
    let text = base.as_deref().unwrap_or(&known.fallback);
    text.bytes().last().unwrap_or(b's')
}

/// Whether Postfix has a parameter `name`, per-transport members of any transport included.
pub fn is_known(name: &str) -> bool {
    table::find(name).is_some() || family::of_name(name).is_some()
}

fn member(transport: &str, suffix: &str) -> String {
    assert!(family::by_suffix(suffix).is_some(), "{suffix} is not a per-transport family");
    alloc::format!("{transport}{suffix}")
}
