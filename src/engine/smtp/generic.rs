//! smtp_generic_maps: names that are good inside only become names that are good outside.
//!
//! Applied to a copy of the envelope, and to the addresses of the message's own header, when a
//! message leaves by this client; the queue keeps what it has. One look-up for each address: what
//! comes out is not looked up again.
//!
//! The header is read and mapped before the transaction begins, so that a table that cannot answer
//! defers the mail and never lets half-mapped mail out.
//!
//! **Limits**: `HEADER_BYTES_MAX`; what of a header is behind that is sent as it is.
//! **Standards**: generic(5), postconf(5) `smtp_generic_maps`.

use crate::cleanup::rewrite::rewrite_line;
use crate::head;
use crate::lookup::{Maps, Opener};
use crate::mail_addr_find::Finder;
use crate::mail_addr_map::{Buffers, Mapper};
use crate::trivial_rewrite::Resolver;
use config::Params;
use config::params::BadValue;
use mail::{Address, Envelope};
use queue::Content;
use std::sync::Arc;

/// Bytes of a header that are mapped.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// The parameter.
#[derive(Debug)]
pub struct Generic {
    /// `smtp_generic_maps`, or lmtp's.
    parameter: String,
    maps: Maps,
    finder: Finder,
    resolver: Arc<Resolver>,
    propagates: bool,
    tokens_max: usize,
}

/// A header in its new form.
#[derive(Debug, Default)]
pub struct Head {
    /// What is sent instead.
    pub bytes: Vec<u8>,
    /// Of so many bytes of the content.
    pub instead: usize,
}

impl Generic {
    /// Reads the parameter of `smtp` or `lmtp`; none when it names no table.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn read(
        params: &Params,
        opener: &Opener,
        resolver: &Arc<Resolver>,
        prefix: &str,
    ) -> Result<Option<Generic>, BadValue> {
        let parameter = format!("{prefix}_generic_maps");
        let maps = opener.maps(params, &parameter)?;
        if maps.is_empty() {
            return Ok(None);
        }
        let propagated = params.list("propagate_unmatched_extensions")?;
        Ok(Some(Generic {
            parameter,
            maps,
            finder: Finder::new(params)?,
            resolver: resolver.clone(),
            propagates: propagated.iter().any(|class| class == "generic"),
            tokens_max: params.int("header_address_token_limit")? as usize,
        }))
    }

    /// What an address is outside, if that is something else: of several, the first.
    fn address(&self, address: &Address, warn: &dyn Fn(&str)) -> Result<Option<Address>, String> {
        let buffers = Buffers::default();
        let (finder, resolver) = (&self.finder, self.resolver.as_ref());
        let mapper = Mapper { finder, resolver, watch: None, buffers: &buffers };
        let mut found = Vec::new();
        mapper.map(&self.parameter, &self.maps, address, self.propagates, &mut found)?;
        if found.len() > 1 {
            warn(&format!("multi-valued {} result for {address}", self.parameter));
        }
        Ok(found.into_iter().next())
    }

    /// The envelope with the sender and these recipients mapped.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn envelope(
        &self,
        envelope: &Envelope,
        recipients: &[u32],
        warn: &dyn Fn(&str),
    ) -> Result<Envelope, String> {
        let mut out = envelope.clone();
        if !envelope.sender.is_null()
            && let Some(sender) = self.address(&envelope.sender, warn)?
        {
            out.sender = sender;
        }
        for index in recipients {
            let recipient = &mut out.recipients[*index as usize];
            if let Some(address) = self.address(&recipient.address, warn)? {
                recipient.address = address;
            }
        }
        Ok(out)
    }

    /// The header with its addresses mapped.
    ///
    /// # Errors
    /// A table cannot answer; why.
    pub fn head(&self, content: &Content, warn: &dyn Fn(&str)) -> Result<Head, String> {
        let read = head::read(content, HEADER_BYTES_MAX);
        let mut head = Head::default();
        let whole = read.len() as u64 == content.len();
        for line in head::logical_lines(&read, whole) {
            let mut failed = None;
            let new = rewrite_line(line, self.tokens_max, |_, address, _| {
                self.address(address, warn).map_err(|why| failed = Some(why)).ok().flatten()
            });
            if let Some(why) = failed {
                return Err(why);
            }
            head.bytes.extend_from_slice(new.as_deref().unwrap_or(line));
            head.instead += line.len();
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    #[test]
    fn of_several_addresses_the_first_is_taken_and_the_log_hears_of_it() {
        let maps = "smtp_generic_maps = inline:{{u@a.example=x@b.example, y@b.example}}\n";
        let snapshot = crate::testing::snapshot_with(maps, "smtp unix - - n - - smtp\n");
        let generic = snapshot.smtp[0].1.generic.as_ref().unwrap();
        let said = RefCell::new(Vec::new());
        let warn = |text: &str| said.borrow_mut().push(text.to_string());
        let address = mail::Address::from_internal(b"u@a.example");
        let found = generic.address(&address, &warn).unwrap().unwrap();
        assert_eq!(found.as_bytes(), b"x@b.example");
        let expected = "multi-valued smtp_generic_maps result for u@a.example";
        assert_eq!(said.into_inner(), [expected]);
    }
}
