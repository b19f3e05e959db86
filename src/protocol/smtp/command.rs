//! Command lines: verbs, paths and ESMTP parameters.
//!
//! A line is split at blanks outside of `<...>`, `"..."` and `[...]`, as Postfix splits it, so that
//! malformed commands get the replies that administrators know.
//!
//! Standards: RFC 5321 section 4.1.2, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 3461 (RET, ENVID,
//! NOTIFY, ORCPT), RFC 6531 (SMTPUTF8), RFC 3030 (BDAT).

use super::path::{self, Complaint, Fault};
use super::reply::Reply;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use mail::address::{Address, Printable};
use mail::dsn;
use mail::envelope::{Encoding, Ret, notify};

/// What a command line begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the command of that name")]
pub enum Verb {
    Helo,
    Ehlo,
    Xclient,
    Xforward,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Etrn,
    Quit,
    Unknown,
}

impl Verb {
    /// All of them, in the order of the disconnect line.
    pub const ALL: [Verb; 16] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Xclient,
        Verb::Xforward,
        Verb::Starttls,
        Verb::Auth,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Vrfy,
        Verb::Etrn,
        Verb::Quit,
        Verb::Unknown,
    ];

    /// Whether a client must wait for the reply before it goes on (RFC 2920 section 3.1).
    pub fn ends_a_group(self) -> bool {
        use Verb::{Auth, Data, Ehlo, Etrn, Helo, Noop, Starttls, Vrfy};
        matches!(self, Helo | Ehlo | Starttls | Auth | Data | Noop | Vrfy | Etrn)
    }

    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Helo => "HELO",
            Verb::Ehlo => "EHLO",
            Verb::Starttls => "STARTTLS",
            Verb::Auth => "AUTH",
            Verb::Mail => "MAIL",
            Verb::Rcpt => "RCPT",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP",
            Verb::Vrfy => "VRFY",
            Verb::Etrn => "ETRN",
            Verb::Quit => "QUIT",
            Verb::Xclient => "XCLIENT",
            Verb::Xforward => "XFORWARD",
            Verb::Unknown => "UNKNOWN",
        }
    }

    /// As in the disconnect line.
    pub fn counter_name(self) -> &'static str {
        match self {
            Verb::Helo => "helo",
            Verb::Ehlo => "ehlo",
            Verb::Starttls => "starttls",
            Verb::Auth => "auth",
            Verb::Mail => "mail",
            Verb::Rcpt => "rcpt",
            Verb::Data => "data",
            Verb::Bdat => "bdat",
            Verb::Rset => "rset",
            Verb::Noop => "noop",
            Verb::Vrfy => "vrfy",
            Verb::Etrn => "etrn",
            Verb::Quit => "quit",
            Verb::Xclient => "xclient",
            Verb::Xforward => "xforward",
            Verb::Unknown => "unknown",
        }
    }

    /// The verb of a word, in any letter case.
    pub fn of(word: &[u8]) -> Verb {
        let known = |verb: &Verb| word.eq_ignore_ascii_case(verb.name().as_bytes());
        let named = &Verb::ALL[..Verb::ALL.len() - 1];
        named.iter().copied().find(known).unwrap_or(Verb::Unknown)
    }
}

/// A line cut into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// The words after the verb.
    pub words: Vec<&'a [u8]>,
    /// What the line begins with.
    pub verb: Verb,
}

/// MAIL FROM with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The return path.
    pub sender: Address,
    /// SIZE, when given.
    pub size: Option<u64>,
    /// BODY, when given.
    pub encoding: Option<Encoding>,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// RET, when given.
    pub ret: Option<Ret>,
    /// ENVID as given.
    pub envid: Option<Vec<u8>>,
}

/// RCPT TO with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The recipient.
    pub address: Address,
    /// NOTIFY bits, zero when not given.
    pub notify: u8,
    /// ORCPT as given, with the address part decoded from xtext.
    pub orcpt: Option<Vec<u8>>,
}

/// VRFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vrfy {
    /// Who is asked for.
    pub address: Address,
    /// As it was written.
    pub path: Vec<u8>,
}

/// Which parameters the session offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// RET, ENVID, NOTIFY, ORCPT.
    pub dsn: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// What paths must be like.
    pub paths: path::Rules,
}

const SYNTAX_MAIL: Reply = Reply::fixed("501 5.5.4 Syntax: MAIL FROM:<address>");
const SYNTAX_RCPT: Reply = Reply::fixed("501 5.5.4 Syntax: RCPT TO:<address>");
const BAD_SIZE: Reply = Reply::fixed("501 5.5.4 Bad message size syntax");
const SIZE_OVERFLOW: Reply =
    Reply::fixed("552 5.3.4 Message size exceeds file system imposed limit");
const BAD_RET: Reply = Reply::fixed("501 5.5.4 Bad RET parameter syntax");
const BAD_ENVID: Reply = Reply::fixed("501 5.5.4 Bad ENVID parameter syntax");
const BAD_NOTIFY: Reply = Reply::fixed("501 5.5.4 Error: Bad NOTIFY parameter syntax");
const BAD_ORCPT: Reply = Reply::fixed("501 5.5.4 Error: Bad ORCPT parameter syntax");
const NO_DSN: Reply = Reply::fixed("501 5.7.1 DSN support is disabled");

/// Cuts a line into words.
pub fn split(line: &[u8]) -> Words<'_> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, tail) = rest.split_at(word_end(rest));
        words.push(word);
        rest = tail.trim_ascii_start();
    }
    let verb = words.first().map_or(Verb::Unknown, |word| Verb::of(word));
    if !words.is_empty() {
        words.remove(0);
    }
    Words { words, verb }
}

/// Where the first word ends: at a blank outside of quotes and brackets.
fn word_end(text: &[u8]) -> usize {
    let (mut quoted, mut angles, mut escaped) = (false, 0u32, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => angles += 1,
            b'>' => angles = angles.saturating_sub(1),
            b' ' | b'\t' | b'\r' if angles == 0 => return index,
            _ => {}
        }
    }
    text.len()
}

/// The path after `FROM:` or `TO:`, which may touch the colon or not, and the words after it.
fn path_after<'a, 'b>(words: &'b [&'a [u8]], keyword: &[u8]) -> Option<(&'a [u8], &'b [&'a [u8]])> {
    let (first, rest) = words.split_first()?;
    let tail = first.get(keyword.len()..)?;
    if !first[..keyword.len()].eq_ignore_ascii_case(keyword) {
        return None;
    }
    if tail.is_empty() {
        rest.split_first().map(|(path, rest)| (*path, rest))
    } else {
        Some((tail, rest))
    }
}

impl Mail {
    /// Parses the words after MAIL.
    ///
    /// # Errors
    /// What is to be said.
    pub fn parse(words: &[&[u8]], offered: Offered) -> Result<Mail, Fault> {
        let (path, parameters) = path_after(words, b"FROM:").ok_or(SYNTAX_MAIL)?;
        // The path is read as the parameters behind it ask.
        let utf8 = parameters.iter().any(|word| word.eq_ignore_ascii_case(b"SMTPUTF8"));
        let sender = offered.paths.sender(path, utf8 && offered.smtputf8)?;
        let mut mail =
            Mail { sender, size: None, encoding: None, smtputf8: false, ret: None, envid: None };
        for parameter in parameters {
            mail.parameter(parameter, offered)?;
        }
        Ok(mail)
    }

    fn parameter(&mut self, word: &[u8], offered: Offered) -> Result<(), Reply> {
        let (name, value) = halves(word);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match value {
            Some(value) if is("SIZE") => self.size = Some(parse_size(value)?),
            Some(value) if is("BODY") && value.eq_ignore_ascii_case(b"8BITMIME") => {
                self.encoding = Some(Encoding::EightBit);
            }
            Some(value) if is("BODY") && value.eq_ignore_ascii_case(b"7BIT") => {
                self.encoding = Some(Encoding::SevenBit);
            }
            // Without SASL the parameter is allowed and says nothing (RFC 4954 section 5).
            Some(_) if is("AUTH") => {}
            Some(value) if is("RET") => self.parse_ret(value, offered)?,
            Some(value) if is("ENVID") => self.parse_envid(value, offered)?,
            None if is("SMTPUTF8") && offered.smtputf8 => self.smtputf8 = true,
            _ => return Err(unsupported(word)),
        }
        Ok(())
    }

    fn parse_ret(&mut self, value: &[u8], offered: Offered) -> Result<(), Reply> {
        if !offered.dsn {
            return Err(NO_DSN);
        }
        let ret = match value {
            _ if self.ret.is_some() => return Err(BAD_RET),
            _ if value.eq_ignore_ascii_case(b"FULL") => Ret::Full,
            _ if value.eq_ignore_ascii_case(b"HDRS") => Ret::Headers,
            _ => return Err(BAD_RET),
        };
        self.ret = Some(ret);
        Ok(())
    }

    fn parse_envid(&mut self, value: &[u8], offered: Offered) -> Result<(), Reply> {
        if !offered.dsn {
            return Err(NO_DSN);
        }
        let printable = unxtext(value).is_some_and(|text| !text.iter().any(u8::is_ascii_control));
        let valid = printable && dsn::is_envid(value);
        if self.envid.is_some() || !valid {
            return Err(BAD_ENVID);
        }
        self.envid = Some(value.to_vec());
        Ok(())
    }
}

impl Rcpt {
    /// Parses the words after RCPT.
    ///
    /// `utf8`: the transaction has SMTPUTF8.
    ///
    /// # Errors
    /// What is to be said.
    pub fn parse(words: &[&[u8]], offered: Offered, utf8: bool) -> Result<Rcpt, Fault> {
        let (path, parameters) = path_after(words, b"TO:").ok_or(SYNTAX_RCPT)?;
        let address = offered.paths.recipient(path, utf8)?;
        let mut rcpt = Rcpt { address, notify: 0, orcpt: None };
        for parameter in parameters {
            rcpt.parameter(parameter, offered)?;
        }
        rcpt.orcpt = rcpt.orcpt.or_else(|| spelled_original(path, &rcpt.address));
        Ok(rcpt)
    }

    fn parameter(&mut self, word: &[u8], offered: Offered) -> Result<(), Fault> {
        let (name, value) = halves(word);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let dsn = is("NOTIFY") || is("ORCPT");
        match value {
            Some(_) if dsn && !offered.dsn => return Err(NO_DSN.into()),
            Some(value) if is("NOTIFY") && self.notify == 0 => self.notify = parse_notify(value)?,
            Some(_) if is("NOTIFY") => return Err(BAD_NOTIFY.into()),
            Some(value) if is("ORCPT") && self.orcpt.is_none() => {
                self.orcpt = Some(parse_orcpt(value).ok_or(BAD_ORCPT)?);
            }
            Some(_) if is("ORCPT") => return Err(BAD_ORCPT.into()),
            _ => return Err(unsupported(word).into()),
        }
        Ok(())
    }
}

/// A source route is not followed, and needless quotes and comments are dropped, but reports name
/// the recipient as the client did. So what is spelled in two ways is two recipients.
fn spelled_original(path: &[u8], address: &Address) -> Option<Vec<u8>> {
    let inner = path.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(path);
    let differs = inner != address.external();
    differs.then(|| [b"rfc822;", inner].concat()).filter(|orcpt| dsn::is_orcpt(orcpt))
}

/// `name=value`.
fn halves(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(equals) => (&word[..equals], Some(&word[equals + 1..])),
        None => (word, None),
    }
}

fn unsupported(word: &[u8]) -> Reply {
    Reply::from(format!("555 5.5.4 Unsupported option: {}", Printable(word)))
}

fn parse_size(value: &[u8]) -> Result<u64, Reply> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD_SIZE);
    }
    let text = core::str::from_utf8(value).map_err(|_| BAD_SIZE)?;
    text.parse::<i64>().map(|size| size as u64).map_err(|_| SIZE_OVERFLOW)
}

/// Commas may stand around the words.
fn parse_notify(value: &[u8]) -> Result<u8, Fault> {
    let mut bits = 0;
    for word in value.split(|byte| *byte == b',').filter(|word| !word.is_empty()) {
        bits |= match word.to_ascii_uppercase().as_slice() {
            b"NEVER" => notify::NEVER,
            b"SUCCESS" => notify::SUCCESS,
            b"FAILURE" => notify::FAILURE,
            b"DELAY" => notify::DELAY,
            _ => return Err(unknown_notify(word, value)),
        };
    }
    let is_contradiction = bits & notify::NEVER != 0 && bits != notify::NEVER;
    if bits == 0 || is_contradiction { Err(BAD_NOTIFY.into()) } else { Ok(bits) }
}

fn unknown_notify(word: &[u8], value: &[u8]) -> Fault {
    let complaint = Complaint::Notify { word: word.to_vec(), value: value.to_vec() };
    Fault { reply: BAD_NOTIFY, complaint: Some(complaint) }
}

/// `type;xtext`, decoded.
fn parse_orcpt(value: &[u8]) -> Option<Vec<u8>> {
    let semicolon = value.iter().position(|byte| *byte == b';')?;
    let (kind, text) = (&value[..semicolon], &value[semicolon + 1..]);
    let text = unxtext(text)?;
    Some([kind, b";", &text].concat()).filter(|orcpt| dsn::is_orcpt(orcpt))
}

/// Decodes xtext (RFC 3461 section 4): `+` and two upper-case hex digits.
pub fn unxtext(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'+' {
            let high = hex(*bytes.next()?)?;
            out.push(high << 4 | hex(*bytes.next()?)?);
        } else {
            out.push(*byte);
        }
    }
    Some(out)
}

/// Encodes xtext.
pub fn xtext(text: &[u8]) -> String {
    encode(text, b"+=")
}

/// Encodes xtext that ends where its word ends: a quote or a bracket without its partner would take
/// the next parameter in.
pub fn xtext_word(text: &[u8]) -> String {
    let plain = xtext(text);
    if is_word(plain.as_bytes()) { plain } else { encode(text, b"+=\"\\<>") }
}

/// Whether a line is cut behind `text` and not before.
pub fn is_word(text: &[u8]) -> bool {
    word_end(&[text, b" "].concat()) == text.len()
}

fn encode(text: &[u8], special: &[u8]) -> String {
    let mut out = String::new();
    for byte in text {
        if byte.is_ascii_graphic() && !special.contains(byte) {
            out.push(*byte as char);
        } else {
            out.push_str(&format!("+{byte:02X}"));
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offered = Offered { dsn: true, smtputf8: true, paths: LOOSE };
    const LOOSE: path::Rules = path::Rules {
        is_strict: false,
        is_strict_utf8: false,
        allows_hyphen: false,
        takes_numeric_domain: false,
        takes_null_domain: false,
    };

    fn mail(line: &str) -> Result<Mail, String> {
        Mail::parse(&split(line.as_bytes()).words, ALL).map_err(|it| it.reply.0.into_owned())
    }

    fn rcpt(line: &str) -> Result<Rcpt, String> {
        Rcpt::parse(&split(line.as_bytes()).words, ALL, false).map_err(|it| it.reply.0.into_owned())
    }

    /// The dialogue of Postfix 3.7.11, command by command.
    #[test]
    fn malformed_mail_commands_get_postfix_replies() {
        let syntax = Err("501 5.5.4 Syntax: MAIL FROM:<address>");
        let bad = Err("501 5.1.7 Bad sender address syntax");
        for (line, expected) in [
            ("MAIL", syntax),
            ("MAIL FROM", syntax),
            ("MAIL FROM:", syntax),
            ("MAIL FROM a@b.example", syntax),
            ("MAIL TO:<a@b.example>", syntax),
            ("MAIL FROM: <a@b.example>", Ok(())),
            ("MAIL FROM:a@b.example", Ok(())),
            ("MAIL FROM:<a@b.example", bad),
            ("MAIL FROM:<a b@c.example>", bad),
            ("MAIL FROM:<\"a b\"@c.example>", Ok(())),
            ("MAIL FROM:<>", Ok(())),
            ("MAIL FROM:<a@@b.example>", Ok(())),
            ("MAIL FROM:<@b.example>", Ok(())),
            ("MAIL FROM:<a@b.example> FOO=BAR", Err("555 5.5.4 Unsupported option: FOO=BAR")),
            ("MAIL FROM:User <a@b.example>", Err("555 5.5.4 Unsupported option: <a@b.example>")),
            ("MAIL FROM:<a@[192.0.2.1]>", Ok(())),
            ("MAIL FROM:<a@192.0.2.1>", bad),
            ("MAIL FROM:<a@-bad.example>", bad),
            ("MAIL FROM:<a@b..example>", bad),
            ("MAIL FROM:<a@example.org.>", Ok(())),
            ("MAIL FROM:<a@b> SIZE=abc", Err("501 5.5.4 Bad message size syntax")),
            ("MAIL FROM:<a@b> SIZE=-1", Err("501 5.5.4 Bad message size syntax")),
            ("MAIL FROM:<a@b> RET=FULL RET=HDRS", Err("501 5.5.4 Bad RET parameter syntax")),
            ("MAIL FROM:<a@b> ENVID=bad+2", Err("501 5.5.4 Bad ENVID parameter syntax")),
            ("MAIL FROM:<a@b> SMTPUTF8=yes", Err("555 5.5.4 Unsupported option: SMTPUTF8=yes")),
        ] {
            let got = mail(line).map(|_| ());
            assert_eq!(
                got.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|e| *e),
                "{line}"
            );
        }
    }

    #[test]
    fn malformed_rcpt_commands_get_postfix_replies() {
        let bad = Err("501 5.1.3 Bad recipient address syntax");
        for (line, expected) in [
            ("RCPT TO:", Err("501 5.5.4 Syntax: RCPT TO:<address>")),
            ("RCPT TO:<>", bad),
            ("RCPT TO:<alice>", Ok(())),
            ("RCPT TO:<alice@>", bad),
            ("RCPT TO:<-f@example.test>", bad),
            ("RCPT TO:<@example.test>", Ok(())),
            ("RCPT TO:<alice smith@example.test>", bad),
            ("RCPT TO:<a@b> <c@d>", Err("555 5.5.4 Unsupported option: <c@d>")),
            (
                "RCPT TO:<a@b> NOTIFY=NEVER,FAILURE",
                Err("501 5.5.4 Error: Bad NOTIFY parameter syntax"),
            ),
            (
                "RCPT TO:<a@b> ORCPT=rfc822;bad+4",
                Err("501 5.5.4 Error: Bad ORCPT parameter syntax"),
            ),
            (
                "RCPT TO:<a@b> ORCPT=alice@example.test",
                Err("501 5.5.4 Error: Bad ORCPT parameter syntax"),
            ),
        ] {
            let got = rcpt(line).map(|_| ());
            assert_eq!(
                got.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|e| *e),
                "{line}"
            );
        }
        let parsed = rcpt("rcpt to:<a@b> notify=success,delay ORCPT=rfc822;x+2By@z").unwrap();
        assert_eq!(parsed.notify, notify::SUCCESS | notify::DELAY);
        assert_eq!(parsed.orcpt.unwrap(), b"rfc822;x+y@z");
        assert_eq!(xtext(b"a b+c"), "a+20b+2Bc");
        assert_eq!(xtext_word(b"\"a b\"@c"), "\"a+20b\"@c");
        assert_eq!(xtext_word(b"a\"b"), "a+22b");
    }

    #[test]
    fn what_would_not_be_one_word_or_one_line_is_refused() {
        for line in [
            "MAIL FROM:<\"a\rb\"@c>",
            "MAIL FROM:<\"a\\\rb\"@c>",
            "MAIL FROM:<a@b> ENVID=\"a b\"",
            "MAIL FROM:<a@b> ENVID=a+0D",
        ] {
            assert!(mail(line).is_err(), "{line:?}");
        }
        assert!(rcpt("RCPT TO:<a@b> ORCPT=a\rb;c").is_err());
        assert!(rcpt("RCPT TO:<@a\rb:c@d>").is_err());
    }

    /// As Postfix 3.7.11 tells the next server.
    #[test]
    fn the_original_recipient_is_what_the_client_wrote() {
        let original = |line: &str| rcpt(line).unwrap().orcpt;
        assert_eq!(original("RCPT TO:<@a:c@d>").unwrap(), b"rfc822;@a:c@d");
        assert_eq!(original("RCPT TO:<\"c\"@d>").unwrap(), b"rfc822;\"c\"@d");
        assert_eq!(original("RCPT TO:<(x)c@d>").unwrap(), b"rfc822;(x)c@d");
        assert_eq!(original("RCPT TO:<\"a c\"@d>"), None);
    }
}
