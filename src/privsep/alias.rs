//! What the engine asks deliver for when an alias, a `.forward` file or `mailbox_command` is behind
//! it.
//!
//! The engine says where the destination stands: in which table under which name, or in which
//! user's file, and through which include files. deliver goes that way itself, so that nothing is
//! read, written or run that an administrator, the user or the owner of a list has not written
//! down.
//!
//! | target | after the request | the answer |
//! | --- | --- | --- |
//! | file, command, mailbox | content, as for a mailbox | [`crate::Reply`] |
//! | include file | nothing | `Go` and the file in [`crate::chunk`]s, or `Done` |
//! | the user's own file | nothing | `Forward` and the file in chunks; `Done`: none, or why not |

use alloc::string::String;
use alloc::vec::Vec;

use crate::CodecError;
use crate::codec::{Reader, Writer};
use crate::frame::{self, Kind};
use crate::request::{FROM_LINE_MAX, NAME_MAX};

/// The longest body of a request.
pub const BODY_MAX: usize = 256 * 1024;
/// The longest path or command.
pub const TARGET_MAX: usize = 8 * 1024;
/// The longest value of a command's environment.
pub const VALUE_MAX: usize = 8 * 1024;
/// Most include files between an alias and a destination.
pub const INCLUDES_MAX: usize = 10;
/// The longest include file; one that is longer defers.
pub const INCLUDE_BYTES_MAX: usize = 32 << 20;
/// Frames of requests.
pub const KIND: Kind = Kind { letters: *b"RPa2", body_max: BODY_MAX };

/// What a command learns from its environment; most empty values are left out.
pub const ENVIRONMENT: [&str; 13] = [
    "CLIENT_ADDRESS",
    "CLIENT_HELO",
    "CLIENT_HOSTNAME",
    "CLIENT_PROTOCOL",
    "DOMAIN",
    "EXTENSION",
    "LOCAL",
    "LOGNAME",
    "ORIGINAL_RECIPIENT",
    "RECIPIENT",
    "SASL_USERNAME",
    "SENDER",
    "USER",
];

const _: () = assert!(
    FROM_LINE_MAX
        + 2 * NAME_MAX
        + (INCLUDES_MAX + 1) * (TARGET_MAX + 4)
        + ENVIRONMENT.len() * (VALUE_MAX + 4)
        + 64
        <= BODY_MAX
);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Append to a file, or deliver to a Maildir.
    File(Vec<u8>),
    /// Run a command.
    Command(Vec<u8>),
    /// Read an include file.
    Include(Vec<u8>),
    /// Run the mailbox command of the user that the request names.
    Mailbox,
    /// Read the first file of `forward_path` that the user has.
    Forward,
}

/// In what the first of the entries stands that lead to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In an alias: the place of its table in `alias_maps`, from 0.
    Alias(u16),
    /// In a file of the user's that `forward_path` names.
    User,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The master.cf service, whose rules hold.
    pub service: Vec<u8>,
    /// In what it stands; for a mailbox and the user's own file, the user.
    pub source: Source,
    /// The name that has the alias, or the user's.
    pub name: Vec<u8>,
    /// The include files on the way.
    pub includes: Vec<Vec<u8>>,
    /// What.
    pub target: Target,
    /// As in [`crate::Request`]; empty where a file is to be read.
    pub from_line: Vec<u8>,
    /// Values in the order of [`ENVIRONMENT`].
    pub environment: [Vec<u8>; ENVIRONMENT.len()],
}

impl Request {
    fn target(&self) -> (u8, &[u8]) {
        match &self.target {
            Target::File(path) => (0, path),
            Target::Command(text) => (1, text),
            Target::Include(path) => (2, path),
            Target::Mailbox => (3, &[]),
            Target::Forward => (4, &[]),
        }
    }

    /// A value of [`ENVIRONMENT`]; nothing when it is empty.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let at = ENVIRONMENT.iter().position(|it| *it == name)?;
        Some(self.environment[at].as_slice()).filter(|value| !value.is_empty())
    }

    /// Whether every field is within its bounds and [`Request::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        let text = |bytes: &[u8], max: usize| {
            bytes.len() <= max && !bytes.iter().any(u8::is_ascii_control)
        };
        let (kind, target) = self.target();
        let names = [&self.service, &self.name];
        names.iter().all(|name| text(name, NAME_MAX) && !name.is_empty())
            && self.includes.len() <= INCLUDES_MAX
            && self.includes.iter().all(|path| text(path, TARGET_MAX))
            && text(target, TARGET_MAX)
            // A command may be empty: it does nothing, and does it well.
            && (kind == 1 || target.is_empty() == matches!(kind, 3 | 4))
            && (self.source == Source::User || !matches!(kind, 3 | 4))
            && (self.includes.is_empty() || !matches!(kind, 3 | 4))
            && text(&self.from_line, FROM_LINE_MAX)
            && self.from_line.starts_with(b"From ") != matches!(kind, 2 | 4)
            && self.environment.iter().all(|value| text(value, VALUE_MAX))
    }

    /// The request as a frame. Panics when it [is not valid](Request::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "a request within its bounds");
        let mut out = Writer::default();
        out.bytes(&self.service);
        match self.source {
            Source::User => out.u8(0),
            Source::Alias(table) => {
                out.u8(1);
                out.u16(table);
            }
        }
        out.bytes(&self.name);
        out.u8(self.includes.len() as u8);
        self.includes.iter().for_each(|path| out.bytes(path));
        let (kind, target) = self.target();
        out.u8(kind);
        out.bytes(target);
        out.bytes(&self.from_line);
        self.environment.iter().for_each(|value| out.bytes(value));
        frame::build(KIND, &out.finish())
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When it is not what [`Request::encode`] makes.
    pub fn decode(body: &[u8]) -> Result<Request, CodecError> {
        let mut fields = Reader(body);
        let service = fields.text(NAME_MAX)?.into();
        let source = match fields.u8()? {
            0 => Source::User,
            1 => Source::Alias(fields.u16()?),
            _ => return Err(CodecError::Value),
        };
        let name = fields.text(NAME_MAX)?.into();
        let count = usize::from(fields.u8()?);
        if count > INCLUDES_MAX {
            return Err(CodecError::TooLong);
        }
        let paths = (0..count).map(|_| fields.text(TARGET_MAX).map(Vec::from));
        let includes = paths.collect::<Result<_, _>>()?;
        let kind = fields.u8()?;
        let text: Vec<u8> = fields.text(TARGET_MAX)?.into();
        let target = match kind {
            0 => Target::File(text),
            1 => Target::Command(text),
            2 => Target::Include(text),
            3 if text.is_empty() => Target::Mailbox,
            4 if text.is_empty() => Target::Forward,
            _ => return Err(CodecError::Value),
        };
        let from_line = fields.text(FROM_LINE_MAX)?.into();
        let mut environment: [Vec<u8>; ENVIRONMENT.len()] = Default::default();
        for value in &mut environment {
            *value = fields.text(VALUE_MAX)?.into();
        }
        fields.finish()?;
        let request = Request { service, source, name, includes, target, from_line, environment };
        if request.is_valid() { Ok(request) } else { Err(CodecError::Value) }
    }
}

/// Where a kind of destination may stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// In an alias.
    pub alias: bool,
    /// In a user's `.forward` file.
    pub forward: bool,
    /// In an include file.
    pub include: bool,
}

impl Allowed {
    fn decode(fields: &mut Reader<'_>) -> Result<Allowed, CodecError> {
        let (alias, forward, include) = (fields.flag()?, fields.flag()?, fields.flag()?);
        Ok(Allowed { alias, forward, include })
    }
}

/// What deliver may do for aliases and users' own files of one service, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AliasRules {
    /// `alias_maps`
    pub alias_maps: Vec<String>,
    /// `mailbox_command_maps`
    pub mailbox_command_maps: Vec<String>,
    /// `export_environment`, each a name or `name=value`
    pub export_environment: Vec<String>,
    /// `default_database_type`
    pub default_type: String,
    /// `default_privs`
    pub default_privs: String,
    /// `command_expansion_filter`
    pub expansion_filter: String,
    /// `local_command_shell`
    pub shell: String,
    /// `mailbox_command`
    pub mailbox_command: String,
    /// `queue_directory`: where commands start.
    pub directory: String,
    /// `command_execution_directory`: where they start when it says something.
    pub execution_directory: String,
    /// `execution_directory_expansion_filter`
    pub execution_filter: String,
    /// `forward_expansion_filter`
    pub forward_filter: String,
    /// `command_time_limit`, seconds
    pub time_limit_s: u32,
    /// `smtputf8_enable`
    pub utf8: bool,
    /// `allow_mail_to_files`
    pub files: Allowed,
    /// `allow_mail_to_commands`
    pub commands: Allowed,
}

/// Most words of a list of the rules.
const WORDS_MAX: usize = 255;
/// Most bytes of all values of one service's rules.
pub const RULES_BYTES_MAX: usize = 64 * 1024;

impl AliasRules {
    fn lists(&self) -> [&Vec<String>; 3] {
        [&self.alias_maps, &self.mailbox_command_maps, &self.export_environment]
    }

    fn values(&self) -> [&String; 9] {
        [
            &self.default_type,
            &self.default_privs,
            &self.expansion_filter,
            &self.shell,
            &self.mailbox_command,
            &self.directory,
            &self.execution_directory,
            &self.execution_filter,
            &self.forward_filter,
        ]
    }

    /// Whether its values are lines, and not too long.
    pub fn is_valid(&self) -> bool {
        let words = || self.lists().into_iter().flatten().chain(self.values());
        let bytes: usize = words().map(|word| word.len() + 4).sum();
        bytes <= RULES_BYTES_MAX
            && self.lists().iter().all(|list| list.len() <= WORDS_MAX)
            && !words().any(|word| word.bytes().any(|byte| byte.is_ascii_control()))
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        for list in self.lists() {
            out.u8(list.len() as u8);
            list.iter().for_each(|word| out.bytes(word.as_bytes()));
        }
        self.values().iter().for_each(|value| out.bytes(value.as_bytes()));
        out.u32(self.time_limit_s);
        out.u8(u8::from(self.utf8));
        for Allowed { alias, forward, include } in [self.files, self.commands] {
            [alias, forward, include].iter().for_each(|flag| out.u8(u8::from(*flag)));
        }
    }

    pub(crate) fn decode(fields: &mut Reader<'_>) -> Result<AliasRules, CodecError> {
        let mut list = || -> Result<Vec<String>, CodecError> {
            let count = fields.u8()?;
            (0..count).map(|_| fields.string(RULES_BYTES_MAX)).collect()
        };
        let (alias_maps, mailbox_command_maps, export_environment) = (list()?, list()?, list()?);
        let mut value = || fields.string(RULES_BYTES_MAX);
        let rules = AliasRules {
            alias_maps,
            mailbox_command_maps,
            export_environment,
            default_type: value()?,
            default_privs: value()?,
            expansion_filter: value()?,
            shell: value()?,
            mailbox_command: value()?,
            directory: value()?,
            execution_directory: value()?,
            execution_filter: value()?,
            forward_filter: value()?,
            time_limit_s: fields.u32()?,
            utf8: fields.flag()?,
            files: Allowed::decode(fields)?,
            commands: Allowed::decode(fields)?,
        };
        if rules.is_valid() { Ok(rules) } else { Err(CodecError::TooLong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> Request {
        Request {
            service: b"local".into(),
            source: Source::Alias(1),
            name: b"list".into(),
            includes: alloc::vec![b"/etc/list".to_vec()],
            target: Target::Command(b"/bin/x a".into()),
            from_line: b"From a@b  date".into(),
            environment: Default::default(),
        }
    }

    #[test]
    fn a_request_comes_back_and_bounds_are_checked() {
        let good = request();
        let bytes = good.encode();
        let body = frame::whole(KIND, &bytes).unwrap();
        assert_eq!(Request::decode(body), Ok(good.clone()));
        assert_eq!(Request::decode(&body[..body.len() - 1]), Err(CodecError::Short));
        let include = Target::Include(b"/x".into());
        let mut long = good.clone();
        long.includes = alloc::vec![b"/x".to_vec(); INCLUDES_MAX + 1];
        let bad = [
            Request { name: Vec::new(), ..good.clone() },
            Request { target: include.clone(), ..good.clone() },
            Request { target: Target::File(Vec::new()), ..good.clone() },
            Request { target: Target::Command(b"a\nb".into()), ..good.clone() },
            Request { from_line: Vec::new(), ..good.clone() },
            Request { target: Target::Mailbox, includes: Vec::new(), ..good.clone() },
            Request { target: Target::Mailbox, source: Source::User, ..good.clone() },
            long,
        ];
        assert!(bad.iter().all(|request| !request.is_valid()));
        let read = Request { target: include, from_line: Vec::new(), ..good };
        assert!(read.is_valid());
        let (target, source, includes) = (Target::Forward, Source::User, Vec::new());
        assert!(Request { target, source, includes, ..read }.is_valid());
    }

    proptest! {
        #[test]
        fn any_target_comes_back(kind in 0u8..5, text in "[ -~]{1,40}", name in "[ -~]{1,20}") {
            let bytes = text.into_bytes();
            let target = match kind {
                0 => Target::File(bytes),
                1 => Target::Command(bytes),
                2 => Target::Include(bytes),
                3 => Target::Mailbox,
                _ => Target::Forward,
            };
            let from_line = if matches!(kind, 2 | 4) { Vec::new() } else { b"From x".into() };
            let mut request = Request { target, from_line, name: name.into(), ..request() };
            if kind > 2 {
                (request.source, request.includes) = (Source::User, Vec::new());
            }
            let frame = request.encode();
            prop_assert_eq!(Request::decode(frame::whole(KIND, &frame).unwrap()), Ok(request));
        }
    }
}
