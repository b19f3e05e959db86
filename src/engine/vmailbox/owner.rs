//! Where a recipient's mailbox is and whose it is: `virtual_mailbox_maps`, `virtual_uid_maps`,
//! `virtual_gid_maps`.
//!
//! Each is asked for less and less of the address, as [`crate::mail_addr_find`] does it; the
//! address is in lower case. A table of patterns cannot put parts of it into its result.
//!
//! **Diagnostics**: [`NoMailbox`], whose words are Postfix's warnings.
//! **Standards**: virtual(8) of Postfix 3.7: TABLE SEARCH ORDER, MAILBOX OWNERSHIP.

use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::Finder;
use crate::trivial_rewrite::Resolver;
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::address::Printable;
use tables::fold::{Folding, fold};

/// A mailbox and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Below the base; with a slash at its end it is a Maildir.
    pub path: Vec<u8>,
    /// Whose it is: at least `virtual_minimum_uid`.
    pub uid: u32,
    /// Its group: never zero.
    pub gid: u32,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMailbox {
    /// No table has the recipient.
    Unknown,
    /// Nobody can tell; what the administrator should know.
    Misconfigured(Vec<String>),
}

/// The tables of one service.
#[derive(Debug)]
pub struct Tables {
    mailboxes: Maps,
    uids: Maps,
    gids: Maps,
    finder: Finder,
    folding: Folding,
    minimum_uid: i64,
}

impl Tables {
    /// Opens them.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn open(params: &Params, opener: &Opener) -> Result<Tables, BadValue> {
        let maps = |name: &str| opener.sensitive_maps(params, name);
        let utf8 = params.flag("smtputf8_enable")?;
        Ok(Tables {
            mailboxes: maps("virtual_mailbox_maps")?,
            uids: maps("virtual_uid_maps")?,
            gids: maps("virtual_gid_maps")?,
            finder: Finder::new(params)?,
            folding: if utf8 { Folding::Utf8 } else { Folding::Ascii },
            minimum_uid: params.int("virtual_minimum_uid")?,
        })
    }

    /// The address as the tables are asked for it; what is not UTF-8 stays as it is.
    pub fn folded(&self, address: &Address) -> Address {
        let folded = fold(address.as_bytes(), self.folding);
        folded.map_or_else(|_| address.clone(), |folded| Address::from_internal(&folded))
    }

    /// The mailbox of `user`, which is in lower case.
    ///
    /// # Errors
    /// When there is none, or it cannot be told whose it is.
    pub fn find(&self, resolver: &Resolver, user: &Address) -> Result<Mailbox, NoMailbox> {
        let search = Search { tables: self, resolver, user };
        let path = search.path()?;
        let uid = search.id("uid", &self.uids, self.minimum_uid)?;
        let gid = search.id("gid", &self.gids, 1)?;
        Ok(Mailbox { path, uid, gid })
    }
}

/// One recipient's search.
struct Search<'a> {
    tables: &'a Tables,
    resolver: &'a Resolver,
    user: &'a Address,
}

impl Search<'_> {
    fn path(&self) -> Result<Vec<u8>, NoMailbox> {
        let found = self.value(&self.tables.mailboxes).map_err(|mut why| {
            let user = Printable(self.user.as_bytes());
            let what = format!("table virtual_mailbox_maps: lookup {user}: Application error");
            why.push(what);
            NoMailbox::Misconfigured(why)
        })?;
        found.ok_or(NoMailbox::Unknown)
    }

    /// The user or group id, at least `least`.
    fn id(&self, what: &str, maps: &Maps, least: i64) -> Result<u32, NoMailbox> {
        let user = Printable(self.user.as_bytes());
        let title = format!("virtual_{what}_maps");
        let missing = || format!("recipient {user}: not found in {title}");
        let value = match self.value(maps) {
            Ok(Some(value)) => value,
            Ok(None) => return Err(NoMailbox::Misconfigured(vec![missing()])),
            Err(mut why) => {
                why.push(missing());
                return Err(NoMailbox::Misconfigured(why));
            }
        };
        let id = u32::try_from(number(&value)).ok();
        // The largest stands for no id at all in setresuid(2).
        id.filter(|id| i64::from(*id) >= least && *id > 0 && *id < u32::MAX).ok_or_else(|| {
            let value = Printable(&value);
            NoMailbox::Misconfigured(vec![format!(
                "recipient {user}: bad {what} {value} in {title}"
            )])
        })
    }

    /// What the tables say, or why they say nothing.
    fn value(&self, maps: &Maps) -> Result<Option<Vec<u8>>, Vec<String>> {
        let mut key = Vec::new();
        match self.tables.finder.find(self.resolver, maps, self.user, &mut key) {
            Ok(found) => Ok(found.map(|found| found.value.into_owned())),
            Err(_) => Err(maps.complaints(&key)),
        }
    }
}

/// The number at the start of a text, as atol(3) reads it: none is zero; one that no number type
/// holds is the largest.
fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::snapshot_with;

    const MASTER_CF: &str = "smtp inet n - n - - smtpd\nvirtual unix - n n - - virtual\n";
    const MAIN_CF: &str = "recipient_delimiter = +\nmyorigin = ours.example\n\
        mydestination = ours.example\nvirtual_mailbox_base = /b\nvirtual_gid_maps = static:105\n";

    /// What these tables have for an address.
    fn find(main_cf: &str, address: &str) -> Result<Mailbox, NoMailbox> {
        let snapshot = snapshot_with(&format!("{MAIN_CF}{main_cf}"), MASTER_CF);
        let tables = &snapshot.virtuals[0].1.tables;
        let user = tables.folded(&Address::from_internal(address.as_bytes()));
        tables.find(&snapshot.resolver, &user)
    }

    fn why(main_cf: &str) -> Vec<String> {
        match find(main_cf, "ceo@a.example") {
            Err(NoMailbox::Misconfigured(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_key_is_asked_of_every_table_and_then_less_and_less_of_the_address_in_lower_case() {
        let main_cf = "virtual_mailbox_maps = inline:{{ceo+x@a.example=ext} \
            {ceo@a.example=plain} {@a.example=all/} {bare=bare}}\n\
            virtual_uid_maps = inline:{{ceo@a.example=1004}} static:1003\n";
        for (address, path, uid) in [
            ("CEO+X@A.Example", "ext", 1003),
            ("CEO@A.Example", "plain", 1004),
            ("ceo+y@a.example", "plain", 1003),
            ("cfo@a.example", "all/", 1003),
            ("bare+x@ours.example", "bare", 1003),
        ] {
            let expected = Mailbox { path: path.into(), uid, gid: 105 };
            assert_eq!(find(main_cf, address), Ok(expected), "{address}");
        }
        assert_eq!(find(main_cf, "ceo@other.example"), Err(NoMailbox::Unknown));
        assert_eq!(find(main_cf, "bare@b.example"), Err(NoMailbox::Unknown));
    }

    #[test]
    fn ids_that_are_none_are_named() {
        let with =
            |uid: &str| format!("virtual_mailbox_maps = static:x\nvirtual_uid_maps = {uid}\n");
        for uid in ["99", "0", "-5", "abc", "4294967295", "99999999999999999999"] {
            let expected = format!("recipient ceo@a.example: bad uid {uid} in virtual_uid_maps");
            assert_eq!(why(&with(&format!("static:{uid}"))), [expected]);
        }
        let missing = "recipient ceo@a.example: not found in virtual_uid_maps";
        assert_eq!(why(&with("inline:{x=1}")), [missing]);
        let gid = format!("{}virtual_gid_maps = static:0\n", with("static:100"));
        assert_eq!(why(&gid), ["recipient ceo@a.example: bad gid 0 in virtual_gid_maps"]);
        let lower = format!("{}virtual_minimum_uid = 50\n", with("static:50abc"));
        assert_eq!(find(&lower, "ceo@a.example").unwrap().uid, 50);
    }

    #[test]
    fn a_table_that_cannot_tell_is_named() {
        let lookup = "fail:x lookup error for \"ceo@a.example\"";
        let failed = "table virtual_mailbox_maps: lookup ceo@a.example: Application error";
        assert_eq!(why("virtual_mailbox_maps = inline:{x=y} fail:x\n"), [lookup, failed]);
        let missing = "recipient ceo@a.example: not found in virtual_uid_maps";
        let uids = "virtual_mailbox_maps = static:x\nvirtual_uid_maps =";
        assert_eq!(why(&format!("{uids} fail:x\n")), [lookup, missing]);
        let unavailable = "hash:/none is unavailable. open database /none.db: No such file or \
                           directory";
        let lookup = "hash:/none lookup error for \"ceo@a.example\"";
        assert_eq!(why(&format!("{uids} hash:/none\n")), [unavailable, lookup, missing]);
    }

    #[test]
    fn nobody_on_the_network_and_no_part_of_the_address_may_be_the_path() {
        let rules = "virtual_uid_maps = static:1003\n\
            virtual_mailbox_maps = pcre:{{/^(c.*)@/ $$1} {/^c.*@/ c}} tcp:192.0.2.1:7\n";
        assert_eq!(find(rules, "ceo@a.example").unwrap().path, b"c");
        let snapshot = snapshot_with(&format!("{MAIN_CF}{rules}"), MASTER_CF);
        let said = |text: &str| snapshot.remarks.iter().any(|remark| remark.text.contains(text));
        let skipped = "line 1: regular expression substitution is not allowed: skipping this rule";
        assert!(said(skipped));
        let refused = "tcp:192.0.2.1:7 map is not allowed for security sensitive data";
        assert!(said(refused));
        let Err(NoMailbox::Misconfigured(why)) = find(rules, "nobody@a.example") else {
            panic!("a table that is refused cannot tell");
        };
        assert_eq!(why[0], format!("tcp:192.0.2.1:7 is unavailable. {refused}"));
        let direct = "virtual_uid_maps = static:1003\n\
            virtual_mailbox_maps = proxy:inline:{ceo@a.example=x}\nproxy_read_maps =\n";
        assert_eq!(find(direct, "ceo@a.example").unwrap().path, b"x");
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (text, value) in [
            ("1003", 1003),
            (" 5001 5002", 5001),
            ("5001abc", 5001),
            ("+7", 7),
            ("-5", -5),
            ("", 0),
            ("x1", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text}");
        }
    }
}
