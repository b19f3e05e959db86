//! A recipient as local delivery sees it: a user name, an extension, and the lines that go in front
//! of the message.

use super::Settings;
use crate::core::Core;
use mail::Address;
use mail::address::Printable;
use mail::date::CTime;
use std::fmt;

/// What an mbox says of mail from nobody.
const NULL_SENDER: &[u8] = b"MAILER-DAEMON";
/// The start of an external address that a From_ line shows; the rest is only longer.
const FROM_ADDRESS_MAX: usize = 4096;

const _: () = assert!(FROM_ADDRESS_MAX + 64 <= privsep::request::FROM_LINE_MAX);

/// Whose mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The whole local part in lower case.
    pub local: Vec<u8>,
    /// The same without the extension.
    pub name: Vec<u8>,
    /// The extension, without its delimiter.
    pub extension: Vec<u8>,
    /// The local part, when its extension would be a path in a file's name: there is none then.
    pub illegal: Option<Vec<u8>>,
}

impl User {
    /// The user that an address names.
    pub fn of(address: &Address, settings: &Settings) -> User {
        let mut local = address.local_part().to_ascii_lowercase();
        let mut name = local.clone();
        let mut extension = Vec::new();
        if let Some(at) = settings.splitting.at(&name) {
            extension = name.split_off(at + 1);
            name.pop();
        }
        let illegal = extension.contains(&b'/').then(|| {
            extension.clear();
            std::mem::replace(&mut local, name.clone())
        });
        User { local, name, extension, illegal }
    }

    /// The character between name and extension.
    pub fn delimiter(&self) -> Option<u8> {
        self.local.get(self.name.len()).copied()
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.name).fmt(f)
    }
}

/// `From sender  Sun Nov 22 11:44:06 2026`.
pub fn from_line(sender: &Address, core: &Core) -> Vec<u8> {
    let unix = core.rt.unix_time().seconds();
    let date = CTime { unix, offset: core.local.at(unix).offset }.to_string();
    let mut address = external(sender);
    address.truncate(FROM_ADDRESS_MAX);
    let address = if sender.is_null() { NULL_SENDER } else { &address };
    [b"From ", address, b"  ", date.as_bytes()].concat()
}

/// The header fields that delivery adds, with LF: `original` for `X-Original-To:`, `delivered` for
/// `Delivered-To:`.
pub fn header(
    sender: &Address,
    original: Option<&Address>,
    delivered: Option<&Address>,
) -> Vec<u8> {
    let mut out = [b"Return-Path: <", external(sender).as_slice(), b">\n"].concat();
    let mut field = |name: &str, address: &Address| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&external(address));
        out.push(b'\n');
    };
    if let Some(original) = original.filter(|original| !original.is_null()) {
        field("X-Original-To: ", original);
    }
    if let Some(delivered) = delivered {
        field("Delivered-To: ", delivered);
    }
    out
}

/// The external form on one line, whatever the address has.
pub fn external(address: &Address) -> Vec<u8> {
    let mut bytes = address.external();
    bytes.iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b'?');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::snapshot;

    fn settings(main_cf: &str) -> Settings {
        Settings::read("local", &snapshot(main_cf).params).unwrap()
    }

    fn user(address: &str, settings: &Settings) -> (String, String) {
        let user = User::of(&Address::from_internal(address.as_bytes()), settings);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(user.name), text(user.extension))
    }

    #[test]
    fn the_user_is_the_local_part_in_lower_case_up_to_the_delimiter() {
        let plus = settings("recipient_delimiter = +-\n");
        let pair = |name: &str, extension: &str| (name.to_string(), extension.to_string());
        assert_eq!(user("Alice+Ext+x@EXAMPLE.test", &plus), pair("alice", "ext+x"));
        assert_eq!(user("a-b@c", &plus), pair("a", "b"));
        assert_eq!(user("+a@c", &plus), pair("+a", ""));
        assert_eq!(user("owner-list@c", &plus), pair("owner-list", ""));
        assert_eq!(user("list-request@c", &plus), pair("list-request", ""));
        assert_eq!(user("Mailer-Daemon@c", &plus), pair("mailer-daemon", ""));
        assert_eq!(user("a+b@c", &settings("")), pair("a+b", ""));
    }

    #[test]
    fn an_extension_with_a_slash_is_none() {
        let user =
            User::of(&Address::from_internal(b"A+../x@c"), &settings("recipient_delimiter=+"));
        assert_eq!(
            (&user.local[..], &user.name[..], &user.extension[..]),
            (&b"a"[..], &b"a"[..], &b""[..])
        );
        assert_eq!((user.illegal.as_deref(), user.delimiter()), (Some(&b"a+../x"[..]), None));
    }

    #[test]
    fn added_fields_are_lines_whatever_is_in_the_addresses() {
        let address = |text: &str| Address::from_internal(text.as_bytes());
        let (original, delivered) = (address("Alice@b"), address("alice@b"));
        let lines = |sender: &str, delivered: Option<&Address>| {
            String::from_utf8(header(&address(sender), Some(&original), delivered)).unwrap()
        };
        let to = "X-Original-To: Alice@b\n";
        let with = Some(&delivered);
        let expected = format!("Return-Path: <\"odd user\"@c>\n{to}Delivered-To: alice@b\n");
        assert_eq!(lines("odd user@c", with), expected);
        assert_eq!(lines("", None), format!("Return-Path: <>\n{to}"));
        let lines = lines("a\r\nX: y@c", with);
        assert_eq!(lines.lines().count(), 3, "{lines}");
        assert!(!lines.contains('\r'));
    }
}
