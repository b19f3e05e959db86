//! canonical_maps and its two sisters: one address becomes another one.
//!
//! The result is looked up again until it stays the same, [`STEPS_MAX`] times at most; then the
//! last one is used, with a warning.
//!
//! **Standards**: canonical(5), postconf(5) `canonical_classes`.

use super::mapping::{Class, Classes, Trouble};
use crate::lookup::{Maps, Opener};
use crate::mail_addr_map::Mapper;
use config::Params;
use config::params::BadValue;
use mail::Address;

/// How often a result is looked up again.
const STEPS_MAX: usize = 10;

/// One of the three parameters.
#[derive(Debug, Default)]
pub struct Map11 {
    name: &'static str,
    /// Its tables.
    pub maps: Maps,
    classes: Classes,
    propagates: bool,
}

impl Map11 {
    /// Reads the parameter `name` and its classes.
    ///
    /// # Errors
    /// The first parameter whose value is not valid.
    pub fn new(
        params: &Params,
        opener: &Opener,
        [name, classes]: [&'static str; 2],
    ) -> Result<Map11, BadValue> {
        let propagated = params.list("propagate_unmatched_extensions")?;
        Ok(Map11 {
            name,
            maps: opener.maps(params, name)?,
            classes: Classes::new(params, classes)?,
            propagates: propagated.iter().any(|class| class == "canonical"),
        })
    }

    /// Maps an address of a class, in place; what is to be warned of goes to `warn`.
    ///
    /// # Errors
    /// A table cannot answer.
    pub fn apply(
        &self,
        mapper: Mapper<'_>,
        class: Class,
        address: &mut Address,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), Trouble> {
        if self.maps.is_empty() || !self.classes.has(class) {
            return Ok(());
        }
        let mut results = mapper.buffers.found.borrow_mut();
        results.clear();
        for _ in 0..STEPS_MAX {
            let found = mapper.map(self.name, &self.maps, address, self.propagates, &mut results);
            if !found.map_err(|why| Trouble::lookup(self.name, address, &why))? {
                return Ok(());
            }
            if results.len() > 1 {
                warn(format!("multi-valued {} entry for {address}", self.name));
            }
            let result = results.drain(..).next().expect("one at least");
            if std::mem::replace(address, result).same_as(address) {
                return Ok(());
            }
        }
        // Postfix says so, and takes it all the same.
        warn(format!(
            "unreasonable {} map nesting for {address} -- message not accepted, try again later",
            self.name
        ));
        Ok(())
    }
}
