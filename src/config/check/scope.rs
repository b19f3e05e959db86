//! Settings that see the same names: those of main.cf, or the `-o` of one service.
//!
//! Called by the checks of [`super`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::expand::expand;
use crate::master_cf::{MasterCf, Overrides};
use crate::params::table::{self, Kind};
use crate::params::{Params, Setting};

/// The settings of one place.
pub(super) struct Scope<'a> {
    /// The file.
    pub file: &'a str,
    /// Whether that is main.cf.
    pub in_main_cf: bool,
    /// What names mean there.
    pub params: Cow<'a, Params>,
    /// The settings there.
    pub settings: Vec<Setting<'a>>,
}

/// That of main.cf, then those of the services in their order.
pub(super) fn all<'a>(params: &'a Params, master: &'a MasterCf) -> impl Iterator<Item = Scope<'a>> {
    let main = Scope {
        file: params.main().file(),
        in_main_cf: true,
        params: Cow::Borrowed(params),
        settings: params.set_names().collect(),
    };
    let services = master.overrides().filter(|service| !service.settings.is_empty());
    let services = services.map(|service| of_service(params, master.file(), service));
    core::iter::once(main).chain(services)
}

fn of_service<'a>(params: &Params, file: &'a str, service: Overrides<'a>) -> Scope<'a> {
    let line = service.line;
    let setting = |(name, value): &'a (String, String)| Setting { name, value, file, line };
    Scope {
        file,
        in_main_cf: false,
        params: Cow::Owned(params.with_overrides(service.settings)),
        settings: service.settings.iter().map(setting).collect(),
    }
}

impl<'a> Scope<'a> {
    /// Those whose references are looked up when the value is read, and not by its reader.
    pub fn immediate(&self) -> impl Iterator<Item = &Setting<'a>> {
        let delayed =
            |name| table::find(name).is_some_and(|row| matches!(row.kind, Kind::Raw { .. }));
        self.settings.iter().filter(move |setting| !delayed(setting.name))
    }

    /// The same with what is set only, as nobody knows defaults when Postfix looks for the names of
    /// restriction classes.
    pub fn expanded_without_defaults(&self, value: &str) -> Option<String> {
        let set =
            |name: &str| self.params.is_set(name).then(|| self.params.value_of(name)).flatten();
        expand(value, &set).ok()
    }

    /// The value with what it refers to, if that can be.
    pub fn expanded<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        match value.contains('$') {
            true => self.params.expand(value).ok().map(Cow::Owned),
            false => Some(Cow::Borrowed(value)),
        }
    }
}
