//! Showing parameters: main.cf values, defaults, names.

use std::collections::BTreeSet;

use config::expand::ExpandError;
use config::params::family;
use config::params::table::{self, Kind};
use config::{Params, check};

use super::mode::{Action, Request};
use super::{Fatal, Loaded, Output, print};

/// Shows what `request` names, or all parameters of its classes.
pub(super) fn parameters(
    request: &Request,
    loaded: &Loaded,
    out: &mut Output,
) -> Result<(), Fatal> {
    let visible = visible(request, loaded);
    if request.names.is_empty() {
        return visible.iter().try_for_each(|name| one(request, &loaded.params, name, out));
    }
    for name in &request.names {
        if visible.contains(name) {
            one(request, &loaded.params, name, out)?;
        } else {
            out.warn(&format!("{name}: unknown parameter"));
        }
    }
    Ok(())
}

/// Names of all parameters there are, given the files.
fn visible(request: &Request, loaded: &Loaded) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Classes are about lists; who asks by name is answered.
    let named = !request.names.is_empty();
    if named || request.classes.builtin {
        let services: BTreeSet<String> = service_names(loaded).collect();
        let rows = table::rows().map(|row| row.name.to_owned());
        names.extend(rows.filter(|name| !services.contains(name)));
    }
    if named || request.classes.service {
        names.extend(service_names(loaded));
    }
    if (named || request.classes.user) && request.action != Action::Defaults {
        names.extend(user_names(loaded));
    }
    // Old names are known where they are asked for.
    names.extend(request.names.iter().filter(|name| table::is_legacy(name)).cloned());
    names
}

/// Parameters that the services of master.cf have, some of them also in the table.
fn service_names(loaded: &Loaded) -> impl Iterator<Item = String> {
    loaded.rows.iter().flat_map(|entry| {
        let families = family::of_program(entry.program());
        families.map(|family| format!("{}{}", entry.name(), family.suffix))
    })
}

/// The administrator's own parameters that something mentions.
fn user_names(loaded: &Loaded) -> Vec<String> {
    let mentioned = check::mentioned(&loaded.params, &loaded.master);
    let set = loaded.params.set_names().map(|setting| setting.name.to_owned());
    let own = set.filter(|name| table::find(name).is_none());
    let services: BTreeSet<String> = service_names(loaded).collect();
    own.filter(|name| table::is_legacy(name) || mentioned.contains(name))
        .filter(|name| !services.contains(name))
        .collect()
}

fn one(request: &Request, params: &Params, name: &str, out: &mut Output) -> Result<(), Fatal> {
    if request.only_set && !params.is_set(name) {
        return Ok(());
    }
    let value = match request.action {
        Action::Defaults => params.default_of(name),
        _ => params.value_of(name).map(Into::into),
    };
    let value = value.or_else(|| table::is_legacy(name).then(String::new));
    let Some(mut value) = value else { return Ok(()) };
    let delayed = table::find(name).is_some_and(|row| matches!(row.kind, Kind::Raw { .. }));
    if request.expand && !request.hide_value && !delayed {
        value = expanded(params, &value, out)?;
    }
    out.line(&print::assignment(request, name, &value));
    Ok(())
}

/// Expands `value`; what is wrong with it becomes a warning and a fatal error, as in Postfix.
pub(super) fn expanded(params: &Params, value: &str, out: &mut Output) -> Result<String, Fatal> {
    params.expand(value).map_err(|error| malformed(&error, out))
}

/// Says what is wrong with a value; the error that ends the command.
pub(super) fn malformed(error: &ExpandError, out: &mut Output) -> Fatal {
    if let ExpandError::Number(_) = error {
        return Fatal(error.to_string());
    }
    out.warn(&error.to_string());
    Fatal("macro processing error".to_owned())
}
