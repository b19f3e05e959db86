//! New numbers for what is there: limits, transports, windows.
//!
//! Nothing that waits or is under way is touched. A window keeps what it has learned, within the
//! new limit; what is above it ends by itself.

use crate::scheduler::{Limits, Scheduler};
use crate::slab::{DestinationId, TransportId};
use crate::transport::TransportSettings;
use alloc::vec::Vec;

impl Scheduler {
    /// Takes new numbers over; `settings` is asked for each transport by name.
    pub fn reconfigure(
        &mut self,
        limits: Limits,
        mut settings: impl FnMut(&str) -> TransportSettings,
    ) {
        self.limits = limits.adjusted();
        for index in 0..self.turns.len() {
            let transport = self.turns[index];
            let settings = settings(&self.transports[transport].name);
            self.transports[transport].adopt(settings);
            self.adopt_sites(transport);
            self.grant(transport);
        }
    }

    fn adopt_sites(&mut self, transport: TransportId) {
        let rules = self.transports[transport].rules;
        let sites: Vec<DestinationId> =
            self.transports[transport].destinations.values().copied().collect();
        for site in sites {
            self.destinations[site].adopt(&rules);
            self.recount(site);
        }
    }
}
