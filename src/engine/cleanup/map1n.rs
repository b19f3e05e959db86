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

/// What is too much of an expansion.
enum Excess {
    Size,
    Nesting,
    Length(Address),
}

impl Excess {
    fn text(&self, asked: &Address) -> String {
        match self {
            Excess::Size => format!("unreasonable {NAME} map expansion size for {asked}"),
            Excess::Nesting => format!("unreasonable {NAME} map nesting for {asked}"),
            Excess::Length(result) => {
                let shown = result.to_string();
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

    /// Everybody an address stands for; itself where the tables have nothing.
    ///
    /// # Errors
    /// A table cannot answer, or a limit is reached.
    pub fn expand(&self, mapper: Mapper<'_>, address: Address) -> Result<Vec<Address>, Trouble> {
        let mut results = vec![address];
        if self.maps.is_empty() {
            return Ok(results);
        }
        let asked = results[0].clone();
        let mut kept = BTreeSet::new();
        let mut at = 0;
        while at < results.len() {
            let settled = match results.len() > self.results_max {
                true => Err(Excess::Size),
                false => self.settle(mapper, &mut results, at, &mut kept)?,
            };
            settled.map_err(|excess| Trouble::expansion(&excess.text(&asked)))?;
            at += 1;
        }
        Ok(results)
    }

    /// Looks up the result at `at` until it stays; further ones go to the end.
    fn settle(
        &self,
        mapper: Mapper<'_>,
        results: &mut Vec<Address>,
        at: usize,
        kept: &mut BTreeSet<Vec<u8>>,
    ) -> Result<Result<(), Excess>, Trouble> {
        for _ in 0..self.steps_max {
            let from = results[at].clone();
            if kept.contains(&from.as_bytes().to_ascii_lowercase()) {
                return Ok(Ok(()));
            }
            let found = mapper.map(NAME, &self.maps, &from, self.propagates);
            let Some(found) = found.map_err(|why| Trouble::lookup(NAME, &from, &why))? else {
                return Ok(Ok(()));
            };
            for (index, result) in found.into_iter().enumerate() {
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
        let settled = kept.contains(&results[at].as_bytes().to_ascii_lowercase());
        Ok(if settled { Ok(()) } else { Err(Excess::Nesting) })
    }
}
