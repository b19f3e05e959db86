//! Options of postconf(1) and which of them go together.

use crate::getopt;

use super::{Fatal, Output};

const SPEC: &str = "aAbc:C:deEfFhHlmMno:pPtT:vxX#";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Show values (the default, -n, -p).
    Main,
    /// -d.
    Defaults,
    /// -M.
    Services,
    /// -F.
    Fields,
    /// -P.
    ServiceParameters,
    /// -e, -X, -#.
    Edit(How),
    /// The same with -M, -F or -P.
    EditMaster(How, Section),
    /// -m.
    MapTypes,
    /// -l.
    LockTypes,
    /// -a.
    SaslServers,
    /// -A.
    SaslClients,
    /// -t, or -b.
    Templates {
        /// -b.
        expanded: bool,
    },
    /// -T and its value.
    Tls(String),
}

impl Action {
    /// -M, -F, -P.
    pub(super) fn is_about_master(&self) -> bool {
        matches!(self, Self::Services | Self::Fields | Self::ServiceParameters)
    }
}

/// Which part of master.cf is to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// -M.
    Services,
    /// -F.
    Fields,
    /// -P.
    Parameters,
}

/// How a file is to be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// -e.
    Set,
    /// -X.
    Remove,
    /// -#.
    CommentOut,
}

/// Kinds of parameters, as -C names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    /// In the table.
    pub builtin: bool,
    /// Per service.
    pub service: bool,
    /// The administrator's own.
    pub user: bool,
}

/// A parsed command line.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub action: Action,
    pub classes: Classes,
    /// -n.
    pub only_set: bool,
    /// -x.
    pub expand: bool,
    /// -f.
    pub fold: bool,
    /// -h.
    pub hide_name: bool,
    /// -H.
    pub hide_value: bool,
    /// -o.
    pub overrides: Vec<String>,
    /// Names, or edits.
    pub names: Vec<String>,
    config_directory: Option<String>,
}

impl Request {
    /// The configuration directory that -c or MAIL_CONFIG chose.
    pub(super) fn chosen_directory(&self) -> Option<String> {
        self.config_directory.clone().or_else(|| std::env::var("MAIL_CONFIG").ok())
    }

    /// The configuration directory.
    pub(super) fn directory(&self) -> String {
        let default = || config::params::table::find("config_directory")?.default_text();
        let default = || default().unwrap_or_default().into_owned();
        self.chosen_directory().unwrap_or_else(default)
    }
}

/// Reads the command line.
pub(super) fn parse(args: &[String], out: &mut Output) -> Result<Request, Fatal> {
    let (options, names) = getopt::parse(args, SPEC).map_err(|bad| {
        out.warnings.push(bad.to_string());
        Fatal(usage())
    })?;
    let mut request = Request {
        action: Action::Main,
        classes: Classes { builtin: true, service: true, user: true },
        only_set: false,
        expand: false,
        fold: false,
        hide_name: false,
        hide_value: false,
        overrides: Vec::new(),
        names: names.to_vec(),
        config_directory: None,
    };
    let given = |letter: char| options.iter().any(|option| option.letter == letter);
    // `name=value` asks for -e where it comes first.
    let edit = !"aAbltmT".contains(given) && names.first().is_some_and(|name| name.contains('='));
    let has = |letter: char| given(letter) || (letter == 'e' && edit);
    if options.iter().filter(|option| matches!(option.letter, 'b' | 't')).count() > 1 {
        return Err(Fatal("specify one of -b and -t".to_owned()));
    }
    conflicts(&has)?;
    let mut tls_mode = String::new();
    for option in &options {
        let value = option.value.as_deref().unwrap_or_default();
        match option.letter {
            'c' => request.config_directory = Some(value.to_owned()),
            'C' => request.classes = classes(value)?,
            'o' => request.overrides.push(value.to_owned()),
            'T' => tls_mode = value.to_owned(),
            _ => {}
        }
    }
    request.only_set = has('n');
    request.expand = has('x');
    request.fold = has('f');
    request.hide_name = has('h');
    request.hide_value = has('H');
    request.action = action(&has, tls_mode)?;
    Ok(request)
}

/// Options that do not go together.
fn conflicts(has: &dyn Fn(char) -> bool) -> Result<(), Fatal> {
    /// Only one of each; editing, the last three of most groups, goes with none of the rest.
    const EXCLUSIVE: &[&str] = &["aAbFlmMpPtT", "denX#", "efX#", "exX#", "deoX#", "ehHX#"];
    /// What cannot be added to an option.
    const WITHOUT: &[(&str, &str)] =
        &[("aAblmtT", "defhHnoxX#"), ("M", "dhHn"), ("F", "dn"), ("P", "dn")];
    for group in EXCLUSIVE {
        let given: Vec<String> =
            group.chars().filter(|c| has(*c)).map(|c| format!("-{c}")).collect();
        if given.len() > 1 {
            return Err(Fatal(format!("specify one of {}", given.join(" "))));
        }
    }
    for (options, others) in WITHOUT {
        let option = options.chars().find(|c| has(*c));
        let others: String = others.chars().filter(|c| has(*c)).map(|c| format!(" -{c}")).collect();
        if let Some(option) = option.filter(|_| !others.is_empty()) {
            return Err(Fatal(format!("with option -{option}, do not specify{others}")));
        }
    }
    Ok(())
}

fn action(has: &dyn Fn(char) -> bool, tls_mode: String) -> Result<Action, Fatal> {
    const SIMPLE: &[(char, Action)] = &[
        ('m', Action::MapTypes),
        ('l', Action::LockTypes),
        ('a', Action::SaslServers),
        ('A', Action::SaslClients),
        ('b', Action::Templates { expanded: true }),
        ('t', Action::Templates { expanded: false }),
        ('d', Action::Defaults),
    ];
    const EDITS: &[(char, How)] = &[('e', How::Set), ('X', How::Remove), ('#', How::CommentOut)];
    const MASTER: &[(char, Action, Section)] = &[
        ('M', Action::Services, Section::Services),
        ('F', Action::Fields, Section::Fields),
        ('P', Action::ServiceParameters, Section::Parameters),
    ];
    let edit = EDITS.iter().find(|(letter, _)| has(*letter)).copied();
    let simple = SIMPLE.iter().find(|(letter, _)| has(*letter));
    if has('T') {
        return Ok(Action::Tls(tls_mode));
    }
    let master = MASTER.iter().find(|(letter, ..)| has(*letter));
    match (edit, master) {
        (Some((letter, how)), Some((kind, _, section))) => {
            let taken = match section {
                Section::Services => true,
                Section::Fields => how == How::Set,
                Section::Parameters => how != How::CommentOut,
            };
            if !taken {
                return Err(Fatal(format!("with option -{kind}, do not specify -{letter}")));
            }
            Ok(Action::EditMaster(how, *section))
        }
        (Some((_, how)), None) => Ok(Action::Edit(how)),
        (None, Some((_, action, _))) => Ok(action.clone()),
        (None, None) => Ok(simple.map_or(Action::Main, |(_, action)| action.clone())),
    }
}

fn classes(text: &str) -> Result<Classes, Fatal> {
    let mut out = Classes { builtin: false, service: false, user: false };
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        match word {
            "builtin" => out.builtin = true,
            "service" => out.service = true,
            "user" => out.user = true,
            "all" => out = Classes { builtin: true, service: true, user: true },
            _ => {
                return Err(Fatal(format!("unknown -C option value \"{word}\" in \"{text}\"")));
            }
        }
    }
    Ok(out)
}

fn usage() -> String {
    "usage: postconf [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] \
     [-c config_dir] [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] \
     [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] [-H (no values)] \
     [-l (lock types)] [-m (map types)] [-M (master.cf)] [-n (non-default parameters)] \
     [-o name=value (override parameter value)] [-p (main.cf, default)] \
     [-P (master.cf parameters)] [-t (bounce templates)] \
     [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] \
     [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]"
        .to_owned()
}
