//! The message envelope as the queue log stores it: an opaque byte string for the log, records for
//! us.
//!
//! Everything that is known when the message is committed and does not change afterwards is here;
//! what changes (recipients done, deferral, flags) is the log's own business.

use crate::address::Address;
use crate::record::{self, RecordError, kind};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// DSN NOTIFY bits (RFC 3461 section 4.1); zero means that none were given.
pub mod notify {
    /// Never.
    pub const NEVER: u8 = 1;
    /// On success.
    pub const SUCCESS: u8 = 2;
    /// On failure.
    pub const FAILURE: u8 = 4;
    /// On delay.
    pub const DELAY: u8 = 8;
    /// All of them.
    pub const ALL: u8 = NEVER | SUCCESS | FAILURE | DELAY;

    /// Whether these can have been given: `NEVER` stands alone.
    pub fn is_valid(bits: u8) -> bool {
        bits == NEVER || bits & !(ALL & !NEVER) == 0
    }
}

/// DSN RET (RFC 3461 section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message comes back.
    Full,
    /// Only its header.
    Headers,
}

/// What the content was declared to be (RFC 6152).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// BODY=7BIT.
    SevenBit,
    /// BODY=8BITMIME.
    EightBit,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Where the message goes.
    pub address: Address,
    /// What the client said.
    pub original: Address,
    /// ORCPT as given, `type;xtext`.
    pub dsn_orcpt: Option<Vec<u8>>,
    /// [`notify`] bits.
    pub notify: u8,
}

/// Who, to whom, when and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// When the message reached the mail system, microseconds since 1970.
    pub arrival_micros: u64,
    /// Content bytes with CRLF line ends.
    pub size: u64,
    /// The return path; null for notices.
    pub sender: Address,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// ENVID as given (xtext).
    pub envid: Option<Vec<u8>>,
    /// RET, when given.
    pub ret: Option<Ret>,
    /// BODY, when given.
    pub encoding: Option<Encoding>,
    /// SMTPUTF8 was asked for (RFC 6531).
    pub smtputf8: bool,
    /// The content has bytes outside ASCII.
    pub has_8bit: bool,
    /// A header has bytes outside ASCII: only SMTPUTF8 carries those.
    pub header_8bit: bool,
    /// The longest content line, in bytes without its end.
    pub longest_line: u32,
    /// When to warn the sender of the delay, seconds since 1970.
    pub warn_at: Option<u64>,
    /// `transport:destination` that everything goes to instead of where the recipients say
    /// (`content_filter`, the action FILTER). Without a destination it is the recipient's domain.
    pub filter: Option<String>,
    /// Named attributes, such as `log_client_address`.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// Why stored bytes are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not records.
    Record(RecordError),
    /// A number is not one.
    Number,
    /// No recipients, or none where a record needs one.
    Recipients,
}

impl From<RecordError> for EnvelopeError {
    fn from(error: RecordError) -> Self {
        EnvelopeError::Record(error)
    }
}

impl Default for Envelope {
    fn default() -> Self {
        Envelope {
            arrival_micros: 0,
            size: 0,
            sender: Address::null(),
            recipients: Vec::new(),
            envid: None,
            ret: None,
            encoding: None,
            smtputf8: false,
            has_8bit: false,
            header_8bit: false,
            longest_line: 0,
            warn_at: None,
            filter: None,
            attributes: Vec::new(),
        }
    }
}

impl Recipient {
    /// A recipient as the client named it.
    pub fn new(address: Address) -> Recipient {
        Recipient { original: address.clone(), address, dsn_orcpt: None, notify: 0 }
    }
}

impl Envelope {
    /// The value of a named attribute.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// Appends the stored form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut text = String::new();
        let mut number = |out: &mut Vec<u8>, kind: u8, args: core::fmt::Arguments<'_>| {
            text.clear();
            text.write_fmt(args).expect("writing to a string does not fail");
            record::put(out, kind, text.as_bytes());
        };
        let second = self.arrival_micros / 1_000_000;
        let micros = self.arrival_micros % 1_000_000;
        let flags = [self.smtputf8, self.has_8bit, self.header_8bit];
        let bits = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        number(out, kind::SIZE, format_args!("{} {bits} {}", self.size, self.longest_line));
        number(out, kind::TIME, format_args!("{second} {micros}"));
        if let Some(warn_at) = self.warn_at {
            number(out, kind::WARN, format_args!("{warn_at}"));
        }
        match self.ret {
            Some(Ret::Full) => record::put(out, kind::RET, b"1"),
            Some(Ret::Headers) => record::put(out, kind::RET, b"2"),
            None => {}
        }
        if let Some(envid) = &self.envid {
            record::put(out, kind::ENVID, envid);
        }
        if let Some(filter) = &self.filter {
            record::put(out, kind::FILTER, filter.as_bytes());
        }
        self.encode_attributes(out);
        record::put(out, kind::SENDER, self.sender.as_bytes());
        self.recipients.iter().for_each(|recipient| recipient.encode(out));
    }

    fn encode_attributes(&self, out: &mut Vec<u8>) {
        let encoding = match self.encoding {
            Some(Encoding::SevenBit) => Some(b"encoding=7bit".as_slice()),
            Some(Encoding::EightBit) => Some(b"encoding=8bit".as_slice()),
            None => None,
        };
        if let Some(encoding) = encoding {
            record::put(out, kind::ATTRIBUTE, encoding);
        }
        for (name, value) in &self.attributes {
            record::put(out, kind::ATTRIBUTE, &[name.as_bytes(), b"=", value].concat());
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are not what [`Envelope::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        let mut envelope = Envelope::default();
        let mut pending = Pending::default();
        let mut input = bytes;
        while let Some((kind, body)) = record::take(&mut input)? {
            envelope.read(kind, body, &mut pending)?;
        }
        if envelope.recipients.is_empty() {
            return Err(EnvelopeError::Recipients);
        }
        Ok(envelope)
    }

    fn read(&mut self, kind: u8, body: &[u8], next: &mut Pending) -> Result<(), EnvelopeError> {
        match kind {
            kind::SIZE => self.read_size(body)?,
            kind::TIME => {
                let (second, micros) = two_numbers(body)?;
                self.arrival_micros = second.saturating_mul(1_000_000).saturating_add(micros);
            }
            kind::WARN => self.warn_at = Some(number(body)?),
            kind::RET => self.ret = Some(if body == b"1" { Ret::Full } else { Ret::Headers }),
            kind::ENVID => self.envid = Some(body.to_vec()),
            kind::FILTER => self.filter = Some(String::from_utf8_lossy(body).into_owned()),
            kind::SENDER => self.sender = Address::from_internal(body),
            kind::ATTRIBUTE => self.read_attribute(body),
            kind::ORIGINAL => next.original = Some(Address::from_internal(body)),
            kind::DSN_ORCPT => next.dsn_orcpt = Some(body.to_vec()),
            kind::NOTIFY => next.notify = notify_bits(body)?,
            kind::RECIPIENT => {
                let address = Address::from_internal(body);
                self.recipients.push(core::mem::take(next).with(address));
            }
            // A later version may know more.
            _ => {}
        }
        Ok(())
    }

    fn read_size(&mut self, body: &[u8]) -> Result<(), EnvelopeError> {
        let mut fields = body.split(|byte| *byte == b' ');
        let mut field = || number(fields.next().unwrap_or_default());
        self.size = field()?;
        let bits = field()?;
        self.smtputf8 = bits & 1 != 0;
        self.has_8bit = bits & 2 != 0;
        self.header_8bit = bits & 4 != 0;
        self.longest_line = u32::try_from(field()?).map_err(|_| EnvelopeError::Number)?;
        Ok(())
    }

    fn read_attribute(&mut self, body: &[u8]) {
        match body {
            b"encoding=7bit" => self.encoding = Some(Encoding::SevenBit),
            b"encoding=8bit" => self.encoding = Some(Encoding::EightBit),
            _ => {
                let equals = body.iter().position(|byte| *byte == b'=').unwrap_or(body.len());
                let name = String::from_utf8_lossy(&body[..equals]).into_owned();
                let value = body.get(equals + 1..).unwrap_or_default().to_vec();
                self.attributes.push((name, value));
            }
        }
    }
}

#[derive(Default)]
struct Pending {
    original: Option<Address>,
    dsn_orcpt: Option<Vec<u8>>,
    notify: u8,
}

impl Pending {
    fn with(self, address: Address) -> Recipient {
        let original = self.original.unwrap_or_else(|| address.clone());
        Recipient { address, original, dsn_orcpt: self.dsn_orcpt, notify: self.notify }
    }
}

impl Recipient {
    fn encode(&self, out: &mut Vec<u8>) {
        if self.original != self.address {
            record::put(out, kind::ORIGINAL, self.original.as_bytes());
        }
        if let Some(orcpt) = &self.dsn_orcpt {
            record::put(out, kind::DSN_ORCPT, orcpt);
        }
        if self.notify != 0 {
            let digits = [b'0' + self.notify / 10, b'0' + self.notify % 10];
            record::put(out, kind::NOTIFY, &digits);
        }
        record::put(out, kind::RECIPIENT, self.address.as_bytes());
    }
}

fn notify_bits(text: &[u8]) -> Result<u8, EnvelopeError> {
    let bits = u8::try_from(number(text)?).map_err(|_| EnvelopeError::Number)?;
    if bits > notify::ALL { Err(EnvelopeError::Number) } else { Ok(bits) }
}

fn number(text: &[u8]) -> Result<u64, EnvelopeError> {
    let text = core::str::from_utf8(text).map_err(|_| EnvelopeError::Number)?;
    text.trim().parse().map_err(|_| EnvelopeError::Number)
}

fn two_numbers(text: &[u8]) -> Result<(u64, u64), EnvelopeError> {
    let blank = text.iter().position(|byte| *byte == b' ').ok_or(EnvelopeError::Number)?;
    Ok((number(&text[..blank])?, number(&text[blank..])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = Address> {
        proptest::collection::vec(any::<u8>(), 0..30)
            .prop_map(|bytes| Address::from_internal(&bytes))
    }

    fn recipient() -> impl Strategy<Value = Recipient> {
        let orcpt = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30));
        (address(), address(), orcpt, 0u8..16).prop_map(|(address, original, dsn_orcpt, notify)| {
            Recipient { address, original, dsn_orcpt, notify }
        })
    }

    proptest! {
        #[test]
        fn an_envelope_comes_back(
            sender in address(),
            recipients in proptest::collection::vec(recipient(), 1..10),
            size: u64, has_8bit: bool, header_8bit: bool, smtputf8: bool, longest_line: u32,
            arrival_micros in 0u64..4_000_000_000_000_000,
            warn_at in proptest::option::of(any::<u64>()),
            filter in proptest::option::of("[a-z]{1,9}:[a-z.:]{0,9}"),
            value in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let envelope = Envelope {
                sender, recipients, size, has_8bit, header_8bit, smtputf8, longest_line, filter,
                arrival_micros, warn_at,
                envid: Some(value.clone()),
                ret: Some(Ret::Headers),
                encoding: Some(Encoding::EightBit),
                attributes: alloc::vec![("client_name".into(), value)],
            };
            let mut bytes = Vec::new();
            envelope.encode(&mut bytes);
            prop_assert_eq!(Envelope::decode(&bytes), Ok(envelope));
        }

        #[test]
        fn any_bytes_are_an_envelope_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _either = Envelope::decode(&bytes);
        }
    }
}
