//! A transaction of the SMTP client whose end of data was sent and whose reply is not settled yet:
//! what the next engine has to know to settle it. Engines write and read it, master keeps it.
//!
//! A record may come from an engine in wrong hands: whoever reads it takes nothing from it but what
//! that engine could have written into the queue log itself.
//!
//! **Limits**: [`RECORD_MAX`], [`RECIPIENTS_MAX`], [`NAME_MAX`], [`TEXT_MAX`].

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::CodecError;
use crate::codec::{Reader, Writer};

/// The longest record.
pub const RECORD_MAX: usize = 7 * 1024;
/// Most recipients; a transaction with more is not kept.
pub const RECIPIENTS_MAX: usize = 512;
/// The longest name of a host.
pub const NAME_MAX: usize = 512;
/// The longest reply.
pub const TEXT_MAX: usize = 4 * 1024;
/// The first byte of every record: its format.
const FORMAT: u8 = 1;

const _: () = assert!(RECIPIENTS_MAX * 4 + NAME_MAX + TEXT_MAX + 128 <= RECORD_MAX);

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The message's number in the queue log.
    pub number: u64,
    /// When it was created, microseconds since 1970: with the number its name for all time.
    pub micros: u64,
    /// Recipients that the server has accepted, as indices into the envelope's, ascending.
    pub recipients: Vec<u32>,
    /// The server.
    pub server: Server,
    /// How many deliveries have used the connection, this one included.
    pub uses: u32,
    /// Whether QUIT was sent behind the end of data.
    pub quit_sent: bool,
    /// Whether no other server would be tried after a temporary refusal.
    pub last: bool,
    /// The reply to the end of data, once it was read; a good one.
    pub answer: Option<Answer>,
}

/// A server, and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// PIPELINING.
    pub pipelining: bool,
    /// DSN.
    pub dsn: bool,
}

/// A reply that means success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its code, 200 to 299.
    pub code: u16,
    /// Subject and detail of its enhanced code, whose class is 2.
    pub status: (u16, u16),
    /// All of it.
    pub text: String,
}

impl Transaction {
    /// Whether it is within its bounds and [`Transaction::encode`] may be called.
    pub fn is_valid(&self) -> bool {
        let text = |text: &str, max: usize| {
            text.len() <= max && !text.bytes().any(|byte| byte.is_ascii_control())
        };
        let good = |answer: &Answer| {
            let (subject, detail) = answer.status;
            let known = subject <= 999 && detail <= 999;
            known && (200..300).contains(&answer.code) && text(&answer.text, TEXT_MAX)
        };
        !self.recipients.is_empty()
            && self.recipients.len() <= RECIPIENTS_MAX
            && self.recipients.is_sorted_by(|one, next| one < next)
            && text(&self.server.name, NAME_MAX)
            && self.answer.as_ref().is_none_or(good)
    }

    /// The transaction as a record. Panics when it [is not valid](Transaction::is_valid).
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "a transaction within its bounds");
        let mut out = Writer::default();
        out.u8(FORMAT);
        out.u64(self.number);
        out.u64(self.micros);
        out.u16(self.recipients.len() as u16);
        self.recipients.iter().for_each(|index| out.u32(*index));
        self.server.encode(&mut out);
        out.u32(self.uses);
        out.u8(self.quit_sent.into());
        out.u8(self.last.into());
        out.u8(self.answer.is_some().into());
        if let Some(Answer { code, status: (subject, detail), text }) = &self.answer {
            out.u16(*code);
            out.u16(*subject);
            out.u16(*detail);
            out.bytes(text.as_bytes());
        }
        out.finish()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is not what [`Transaction::encode`] makes.
    pub fn decode(record: &[u8]) -> Result<Transaction, CodecError> {
        let mut fields = Reader(record);
        if fields.u8()? != FORMAT {
            return Err(CodecError::Kind);
        }
        let (number, micros) = (fields.u64()?, fields.u64()?);
        let count = usize::from(fields.u16()?);
        if count > RECIPIENTS_MAX {
            return Err(CodecError::TooLong);
        }
        let recipients = (0..count).map(|_| fields.u32()).collect::<Result<_, _>>()?;
        let transaction = Transaction {
            number,
            micros,
            recipients,
            server: Server::decode(&mut fields)?,
            uses: fields.u32()?,
            quit_sent: fields.flag()?,
            last: fields.flag()?,
            answer: if fields.flag()? { Some(Answer::decode(&mut fields)?) } else { None },
        };
        fields.finish()?;
        if transaction.is_valid() { Ok(transaction) } else { Err(CodecError::Value) }
    }
}

impl Server {
    fn encode(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes());
        match self.address {
            IpAddr::V4(address) => {
                out.u8(4);
                out.u32(address.to_bits());
            }
            IpAddr::V6(address) => {
                out.u8(6);
                address.octets().iter().for_each(|octet| out.u8(*octet));
            }
        }
        out.u16(self.port);
        out.u8(self.pipelining.into());
        out.u8(self.dsn.into());
    }

    fn decode(fields: &mut Reader<'_>) -> Result<Server, CodecError> {
        let name = fields.string(NAME_MAX)?;
        let address = match fields.u8()? {
            4 => Ipv4Addr::from_bits(fields.u32()?).into(),
            6 => Ipv6Addr::from(fields.array::<16>()?).into(),
            _ => return Err(CodecError::Value),
        };
        let port = fields.u16()?;
        Ok(Server { name, address, port, pipelining: fields.flag()?, dsn: fields.flag()? })
    }
}

impl Answer {
    fn decode(fields: &mut Reader<'_>) -> Result<Answer, CodecError> {
        let code = fields.u16()?;
        let status = (fields.u16()?, fields.u16()?);
        Ok(Answer { code, status, text: fields.string(TEXT_MAX)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    fn server() -> impl Strategy<Value = Server> {
        let parts = ("[ -~]{0,60}", any::<IpAddr>(), any::<u16>(), any::<(bool, bool)>());
        parts.prop_map(|(name, address, port, (pipelining, dsn))| Server {
            name,
            address,
            port,
            pipelining,
            dsn,
        })
    }

    fn answer() -> impl Strategy<Value = Answer> {
        (200u16..300, 0u16..1000, 0u16..1000, "[ -~]{0,200}").prop_map(
            |(code, subject, detail, text)| Answer { code, status: (subject, detail), text },
        )
    }

    fn transaction() -> impl Strategy<Value = Transaction> {
        let name = (any::<u64>(), any::<u64>(), btree_set(any::<u32>(), 1..40));
        let flags = (any::<u32>(), any::<bool>(), any::<bool>());
        (name, server(), flags, proptest::option::of(answer())).prop_map(
            |((number, micros, recipients), server, (uses, quit_sent, last), answer)| Transaction {
                number,
                micros,
                recipients: recipients.into_iter().collect(),
                server,
                uses,
                quit_sent,
                last,
                answer,
            },
        )
    }

    proptest! {
        #[test]
        fn a_transaction_comes_back_and_no_part_of_it_does(transaction in transaction()) {
            let record = transaction.encode();
            assert!(record.len() <= RECORD_MAX);
            prop_assert_eq!(Transaction::decode(&record), Ok(transaction));
            for len in 0..record.len() {
                prop_assert!(Transaction::decode(&record[..len]).is_err());
            }
            let more = [&record[..], b"x"].concat();
            prop_assert_eq!(Transaction::decode(&more), Err(CodecError::LeftOver));
        }

        #[test]
        fn any_bytes_are_a_transaction_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _either = Transaction::decode(&[&[FORMAT], &bytes[..]].concat());
        }
    }

    fn example() -> Transaction {
        Transaction {
            number: 64,
            micros: 1,
            recipients: alloc::vec![0, 2],
            server: Server {
                name: "sink.example".into(),
                address: Ipv4Addr::LOCALHOST.into(),
                port: 25,
                pipelining: true,
                dsn: false,
            },
            uses: 1,
            quit_sent: true,
            last: true,
            answer: None,
        }
    }

    /// A recipient is settled once, and nobody is told of a delivery that was refused.
    #[test]
    fn recipients_twice_and_bad_answers_are_refused() {
        assert!(example().is_valid());
        for recipients in [&[0, 0][..], &[2, 0], &[]] {
            assert!(!Transaction { recipients: recipients.into(), ..example() }.is_valid());
        }
        let answer = |code, text: &str| {
            let answer = Some(Answer { code, status: (0, 0), text: text.into() });
            Transaction { answer, ..example() }.is_valid()
        };
        assert!(answer(250, "250 Ok") && !answer(450, "450 no") && !answer(250, "250\r\n"));
    }

    #[test]
    fn the_largest_fits_into_a_record() {
        let text = "x".repeat(TEXT_MAX);
        let mut largest = Transaction {
            recipients: (0..RECIPIENTS_MAX as u32).collect(),
            answer: Some(Answer { code: 250, status: (999, 999), text }),
            ..example()
        };
        largest.server.name = "x".repeat(NAME_MAX);
        largest.server.address = Ipv6Addr::LOCALHOST.into();
        assert!(largest.encode().len() <= RECORD_MAX);
    }
}
