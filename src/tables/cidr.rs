//! `cidr:` tables: networks in order, the first that contains the address decides.
//!
//! Opened by [`crate::catalog`], from a file or from text in braces. A rule with `!` in front holds
//! for the addresses of its family outside the network; rules between `if` and `endif` are looked
//! at only when its network holds.
//!
//! **Diagnostics**: a rule that cannot be used is left out with Postfix's warning, which names file
//! and line; a key that is no address is not in the table.
//! **Standards**: cidr_table(5).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::source::{LogicalLine, LogicalLines, is_space, keyword, printable, trim};
use crate::{Lookup, Table};

/// A network, and whether it is what lies outside that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern {
    base: IpAddr,
    prefix: u8,
    outside: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    action: Action,
    /// Where it is in the text, from 1.
    line: usize,
}

#[derive(Clone, Debug)]
enum Action {
    /// The result.
    Result(Vec<u8>),
    /// `if`: where to go on when the pattern does not hold.
    If(usize),
}

/// A table of networks.
#[derive(Clone, Debug, Default)]
pub struct Cidr {
    rules: Vec<Rule>,
}

impl Cidr {
    /// Reads the text of `file`; rules that cannot be used are told to `warn`.
    pub fn parse(file: &str, text: &[u8], warn: &dyn Fn(String)) -> Cidr {
        let mut reader = Reading { table: Cidr::default(), open: Vec::new() };
        for line in LogicalLines::new(text).starting_visibly(file, warn) {
            let number = line.number;
            if let Err(why) = reader.line(&line) {
                warn(format!("cidr map {file}, line {number}: {why}: skipping this rule"));
            }
        }
        for (_, number) in reader.open.iter().rev() {
            warn(format!("cidr map {file}, line {number}: IF has no matching ENDIF"));
        }
        let end = reader.table.rules.len();
        while let Some((at, _)) = reader.open.pop() {
            reader.table.rules[at].action = Action::If(end);
        }
        reader.table
    }

    /// The value, and the line it is on.
    fn find(&self, key: &[u8]) -> Option<(&[u8], usize)> {
        let address = core::str::from_utf8(key).ok()?.parse().ok()?;
        let mut at = 0;
        while let Some(Rule { pattern, action, line }) = self.rules.get(at) {
            at += 1;
            match action {
                Action::Result(result) if pattern.holds(address) => return Some((result, *line)),
                Action::If(end) if !pattern.holds(address) => at = *end,
                _ => {}
            }
        }
        None
    }
}

impl Table for Cidr {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        match self.find(key) {
            Some((result, _)) => Lookup::Found(Cow::Borrowed(result)),
            None => Lookup::NotFound,
        }
    }

    fn line(&self, key: &[u8]) -> Option<usize> {
        Some(self.find(key)?.1)
    }
}

/// A table on its way, with the `if`s that have no `endif` yet: their place and line.
struct Reading {
    table: Cidr,
    open: Vec<(usize, usize)>,
}

impl Reading {
    fn line(&mut self, line: &LogicalLine) -> Result<(), String> {
        let text = trim(&line.text);
        if let Some(rest) = keyword(text, b"endif") {
            return self.endif(rest);
        }
        if let Some(rest) = keyword(text, b"if") {
            let pattern = Pattern::parse(rest)?;
            self.open.push((self.table.rules.len(), line.number));
            self.add(line, pattern, Action::If(0));
            return Ok(());
        }
        let (outside, text) = negation(text);
        let end = text.iter().position(|byte| is_space(*byte)).unwrap_or(text.len());
        let (pattern, result) = text.split_at(end);
        let pattern = Pattern::parse(pattern)?;
        let result = trim(result);
        if result.is_empty() {
            return Err("no lookup result".into());
        }
        let pattern = Pattern { outside: pattern.outside != outside, ..pattern };
        self.add(line, pattern, Action::Result(result.to_vec()));
        Ok(())
    }

    fn add(&mut self, line: &LogicalLine, pattern: Pattern, action: Action) {
        self.table.rules.push(Rule { pattern, action, line: line.number });
    }

    fn endif(&mut self, rest: &[u8]) -> Result<(), String> {
        if !rest.is_empty() {
            return Err("garbage after ENDIF".into());
        }
        let (at, _) = self.open.pop().ok_or("ENDIF without IF")?;
        self.table.rules[at].action = Action::If(self.table.rules.len());
        Ok(())
    }
}

/// Whether an odd number of `!` is in front, and what follows them.
fn negation(mut text: &[u8]) -> (bool, &[u8]) {
    let mut outside = false;
    while let [b'!', rest @ ..] = text {
        outside = !outside;
        text = rest.trim_ascii_start();
    }
    (outside, text)
}

impl Pattern {
    /// An address, in brackets or not, with the length of a prefix or without.
    fn parse(text: &[u8]) -> Result<Pattern, String> {
        let (outside, text) = negation(text);
        let text = printable(text);
        if text.is_empty() {
            return Err("no address pattern".into());
        }
        let (address, length) = split(&text)?;
        let Some(length) = length else {
            let base: IpAddr =
                address.parse().map_err(|_| format!("bad address pattern: \"{address}\""))?;
            return Ok(Pattern { base, prefix: bits(base), outside });
        };
        let (base, prefix) = network(address, length)?;
        Ok(Pattern { base, prefix, outside })
    }

    fn holds(&self, address: IpAddr) -> bool {
        let same_family = address.is_ipv4() == self.base.is_ipv4();
        same_family && (masked(address, self.prefix) == self.base) != self.outside
    }
}

/// The address without brackets, and what stands behind the slash.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    let plain =
        |text| str::split_once(text, '/').map_or((text, None), |(net, len)| (net, Some(len)));
    let Some(inner) = text.strip_prefix('[') else { return Ok(plain(text)) };
    let Some((address, behind)) = inner.split_once(']') else {
        return Err(format!("missing ']' character after \"[{inner}\""));
    };
    match behind.strip_prefix('/') {
        None if !behind.is_empty() => Err(format!("garbage after \"[{address}]\"")),
        // The length may be within the brackets.
        None => Ok(plain(address)),
        length => Ok((address, length)),
    }
}

/// A network as it is written, with no bits set behind its prefix.
fn network(address: &str, length: &str) -> Result<(IpAddr, u8), String> {
    let bad = |what: &str| format!("bad {what} in \"{address}/{length}\"");
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("mask value"));
    }
    let bits_max = if address.contains(':') { 128 } else { 32 };
    let prefix = length.parse().ok().filter(|prefix| *prefix <= bits_max);
    let prefix = prefix.ok_or_else(|| bad("mask length"))?;
    let base: IpAddr = address.parse().map_err(|_| bad("network value"))?;
    let network = masked(base, prefix);
    if network != base {
        return Err(format!(
            "non-null host address bits in \"{address}/{length}\", perhaps you should use \
             \"{network}/{prefix}\" instead"
        ));
    }
    Ok((base, prefix))
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with all bits after the prefix cleared.
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    fn parse(text: &str) -> (Cidr, Vec<String>) {
        let said = RefCell::new(Vec::new());
        let table = Cidr::parse("/c", text.as_bytes(), &|text| said.borrow_mut().push(text));
        (table, said.into_inner())
    }

    fn find(table: &Cidr, key: &str) -> String {
        match table.lookup(key.as_bytes()) {
            Lookup::Found(value) => String::from_utf8_lossy(&value).into_owned(),
            _ => String::new(),
        }
    }

    #[test]
    fn the_first_network_that_holds_decides() {
        let (table, said) = parse(
            "192.168.1.1 single\n192.168.1.0/24 net\n!10.0.0.0/8 not ten\nif 10.1.0.0/16\n\
             10.1.2.0/24 inner\nif !10.1.3.0/24\n10.1.0.0/16 outer\nendif\nendif\n10.0.0.0/8 ten\n\
             2001:db8::/32 v6\n",
        );
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(table.line(b"10.1.9.9"), Some(7));
        for (key, expected) in [
            ("192.168.1.1", "single"),
            ("192.168.1.9", "net"),
            ("172.16.0.1", "not ten"),
            ("10.1.2.3", "inner"),
            ("10.1.9.9", "outer"),
            ("10.1.3.1", "ten"),
            ("10.9.9.9", "ten"),
            ("2001:db8:0:0:0:0:0:1", "v6"),
            ("2001:db9::1", ""),
            ("name.example", ""),
            ("[10.0.0.1]", ""),
        ] {
            assert_eq!(find(&table, key), expected, "{key}");
            assert_eq!(table.line(key.as_bytes()).is_some(), !expected.is_empty(), "{key}");
        }
    }

    #[test]
    fn rules_that_cannot_be_used_are_named_with_their_line() {
        let (table, said) =
            parse("10.0.0.1/24 x\n1.2.3 x\n10.0.0.0/33 x\n10.0.0.1\nendif\nif ::/0\n");
        let expected = [
            "line 1: non-null host address bits in \"10.0.0.1/24\", perhaps you should use \
             \"10.0.0.0/24\" instead: skipping this rule",
            "line 2: bad address pattern: \"1.2.3\": skipping this rule",
            "line 3: bad mask length in \"10.0.0.0/33\": skipping this rule",
            "line 4: no lookup result: skipping this rule",
            "line 5: ENDIF without IF: skipping this rule",
            "line 6: IF has no matching ENDIF",
        ];
        let said: Vec<_> =
            said.iter().map(|line| line.trim_start_matches("cidr map /c, ")).collect();
        assert_eq!(said, expected);
        assert_eq!(find(&table, "10.0.0.1"), "");
    }

    #[test]
    fn patterns_come_in_brackets_and_with_marks_in_front() {
        let (table, said) = parse(
            "[::1] one\n[2001:db8::]/32 net\n[2001:db9::/32] in\n!!192.0.2.1 twice\n\
             if!192.0.2.0/24\n! 198.51.100.0/24 x\nendif\n[192.0.2.9] nine\n",
        );
        assert!(said.is_empty(), "{said:?}");
        for (key, expected) in [
            ("::1", "one"),
            ("2001:db8::5", "net"),
            ("2001:db9::5", "in"),
            ("192.0.2.1", "twice"),
            ("192.0.2.9", "nine"),
            ("192.0.2.2", ""),
            ("203.0.113.1", "x"),
        ] {
            assert_eq!(find(&table, key), expected, "{key}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_told_in_postfixs_words() {
        let text = "   10.0.0.1 a line that is longer than thirty\n10.0.0.0/x a\nx/8 a\n[::1 a\n\
                    [10.0.0.1]x a\n[10.0.0.1]/ a\nif\nif 10.0.0.1 x\n!\nendif x\n[x] a\n";
        let (_, said) = parse(text);
        let expected = [
            "/c: logical line must not start with whitespace: \"   10.0.0.1 a line that is lon...\"",
            "line 2: bad mask value in \"10.0.0.0/x\": skipping this rule",
            "line 3: bad network value in \"x/8\": skipping this rule",
            "line 4: missing ']' character after \"[::1\": skipping this rule",
            "line 5: garbage after \"[10.0.0.1]\": skipping this rule",
            "line 6: bad mask value in \"10.0.0.1/\": skipping this rule",
            "line 7: no address pattern: skipping this rule",
            "line 8: bad address pattern: \"10.0.0.1 x\": skipping this rule",
            "line 9: no address pattern: skipping this rule",
            "line 10: garbage after ENDIF: skipping this rule",
            "line 11: bad address pattern: \"x\": skipping this rule",
        ];
        let said: Vec<_> =
            said.iter().map(|line| line.trim_start_matches("cidr map /c, ")).collect();
        assert_eq!(said, expected);
    }
}
