//! Address extensions: `user+extension`, split at `recipient_delimiter`.
//!
//! Used by local delivery, by the queue manager for limits per user, and by smtpd for unknown
//! users.
//!
//! **Standards**: postconf(5) `recipient_delimiter`, `owner_request_special`.

use alloc::string::String;

/// Names that are never split.
const WHOLE: [&[u8]; 3] = [b"postmaster", b"mailer-daemon", b"double-bounce"];

/// How local parts are split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splitting {
    /// `recipient_delimiter`: each character is one.
    pub delimiters: String,
    /// `owner_request_special`.
    pub owner_request_special: bool,
}

impl Splitting {
    /// Where the delimiter of a local part stands; a name may not be empty.
    pub fn at(&self, local: &[u8]) -> Option<usize> {
        let delimiters = self.delimiters.as_bytes();
        if WHOLE.iter().any(|name| local.eq_ignore_ascii_case(name)) || self.is_list(local) {
            return None;
        }
        let at = local.iter().position(|byte| delimiters.contains(byte))?;
        (at > 0).then_some(at)
    }

    /// The local part without its extension.
    pub fn name<'a>(&self, local: &'a [u8]) -> &'a [u8] {
        self.at(local).map_or(local, |at| &local[..at])
    }

    /// `owner-list` and `list-request`, where a hyphen would split them.
    fn is_list(&self, local: &[u8]) -> bool {
        let starts = |word: &[u8]| {
            local.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        let ends = |word: &[u8]| {
            let at = local.len().saturating_sub(word.len());
            at > 0 && local[at..].eq_ignore_ascii_case(word)
        };
        let hyphen = self.owner_request_special && self.delimiters.contains('-');
        hyphen && (starts(b"owner-") || ends(b"-request"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_delimiter() {
        let plus = Splitting { delimiters: "+-".into(), owner_request_special: true };
        let name = |local: &str| String::from_utf8_lossy(plus.name(local.as_bytes())).into_owned();
        assert_eq!(name("user+ext-x"), "user");
        assert_eq!(name("user-ext"), "user");
        assert_eq!(name("+user"), "+user");
        for whole in ["MAILER-daemon", "double-bounce", "owner-list", "List-Request", "user"] {
            assert_eq!(name(whole), whole);
        }
        assert_eq!(name("-request"), "-request");
        let plain = Splitting { owner_request_special: false, ..plus.clone() };
        assert_eq!(plain.name(b"owner-list"), b"owner");
        assert_eq!(Splitting::default().name(b"a+b"), b"a+b");
    }
}
