//! virtual_alias_maps: one address becomes any number of addresses.
//!
//! Results are looked up in their turn; an address that is among its own results is kept and not
//! looked up again.
//!
//! **Limits**: `virtual_alias_expansion_limit` results, `virtual_alias_recursion_limit` steps for
//! each, `virtual_alias_address_length_limit` bytes of one. Beyond any of them the message is not
//! accepted now.
//! **Standards**: virtual(5), ADDRESS_REWRITING_README.

use super::mapping::Trouble;
use crate::lookup::{Maps, Opener};
use crate::mail_addr_map::Mapper;
use config::Params;
use config::params::BadValue;
use mail::Address;
use mail::address::Printable;
use std::collections::BTreeSet;

const NAME: &str = "virtual_alias_maps";

/// The parameter and its limits.
#[derive(Debug, Default)]
pub struct Map1n {
    /// Its tables.
    pub maps: Maps,
    propagates: bool,
    results_max: usize,
    steps_max: usize,
    bytes_max: usize,
}

/// An expansion on its way.
struct Expansion<'a> {
    results: &'a mut Vec<Address>,
    /// Addresses among their own results, in lower case.
    kept: BTreeSet<Vec<u8>>,
    /// The buffer of each look-up.
    found: &'a mut Vec<Address>,
}

impl Expansion<'_> {
    /// Whether the result at `at` is kept as it is.
    fn keeps(&self, at: usize) -> bool {
        let key = || self.results[at].as_bytes().to_ascii_lowercase();
        !self.kept.is_empty() && self.kept.contains(&key())
    }
}

/// What is too much of an expansion.
enum Excess {
    Size,
    Nesting,
    Length(Address),
}

impl Excess {
    fn text(&self, asked: &Address) -> String {
        let asked = Printable(asked.as_bytes());
        match self {
            Excess::Size => format!("unreasonable {NAME} map expansion size for {asked}"),
            Excess::Nesting => format!("unreasonable {NAME} map nesting for {asked}"),
            Excess::Length(result) => {
                let shown = Printable(result.as_bytes()).to_string();
                format!(
                    "unreasonable {NAME} result {shown:.300}... in virtual alias expansion for {asked}"
                )
            }
        }
    }
}

impl Map1n {
    /// Reads the parameters.
    ///
    /// # Errors
    /// The first whose value is not valid.
    pub fn new(params: &Params, opener: &Opener) -> Result<Map1n, BadValue> {
        let limit = |name: &str| Ok(params.int(name)?.unsigned_abs() as usize);
        let propagated = params.list("propagate_unmatched_extensions")?;
        Ok(Map1n {
            maps: opener.maps(params, NAME)?,
            propagates: propagated.iter().any(|class| class == "virtual"),
            results_max: limit("virtual_alias_expansion_limit")?,
            steps_max: limit("virtual_alias_recursion_limit")?,
            bytes_max: limit("virtual_alias_address_length_limit")?,
        })
    }

    /// Puts everybody an address stands for into `results`, which is empty; itself where the tables
    /// have nothing.
    ///
    /// # Errors
    /// A table cannot answer, or a limit is reached.
    pub fn expand(
        &self,
        mapper: Mapper<'_>,
        address: &Address,
        results: &mut Vec<Address>,
    ) -> Result<(), Trouble> {
        results.push(address.clone());
        if self.maps.is_empty() {
            return Ok(());
        }
        let mut found = mapper.buffers.found.borrow_mut();
        found.clear();
        let mut expansion = Expansion { results, kept: BTreeSet::new(), found: &mut found };
        let mut at = 0;
        while at < expansion.results.len() {
            let settled = match expansion.results.len() > self.results_max {
                true => Err(Excess::Size),
                false => self.settle(mapper, (address, at), &mut expansion)?,
            };
            settled.map_err(|excess| Trouble::expansion(&excess.text(address)))?;
            at += 1;
        }
        Ok(())
    }

    /// Looks up the result at `at` until it stays; further ones go to the end.
    fn settle(
        &self,
        mapper: Mapper<'_>,
        (asked, at): (&Address, usize),
        expansion: &mut Expansion<'_>,
    ) -> Result<Result<(), Excess>, Trouble> {
        for _ in 0..self.steps_max {
            if expansion.keeps(at) {
                return Ok(Ok(()));
            }
            let Expansion { results, kept, found } = expansion;
            let from = &results[at];
            let has = mapper.map(NAME, &self.maps, from, self.propagates, found);
            let asked = Printable(asked.as_bytes());
            if !has.map_err(|why| Trouble::lookup(NAME, &asked, &why))? {
                return Ok(Ok(()));
            }
            let from = std::mem::take(&mut results[at]);
            for (index, result) in found.drain(..).enumerate() {
                if result.as_bytes().len() > self.bytes_max {
                    return Ok(Err(Excess::Length(result)));
                }
                if result.same_as(&from) {
                    kept.insert(from.as_bytes().to_ascii_lowercase());
                }
                match index {
                    0 => results[at] = result,
                    _ => results.push(result),
                }
            }
        }
        // One more look-up would only show whether it is over.
        Ok(if expansion.keeps(at) { Ok(()) } else { Err(Excess::Nesting) })
    }
}
