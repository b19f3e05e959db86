//! Facts about the system that some defaults are computed from, and the computing itself.
//!
//! The caller gathers a [`Host`] once at start; [`crate::Params`] asks for the computed defaults
//! (`myhostname`, `mydomain`, `mynetworks`, `process_id`, `process_name`, `service_name`).
//!
//! **Standards**: postconf(5), the DEFAULT of each of these parameters.

mod networks;

pub(crate) use networks::{Selection, Style, check_interfaces, networks};

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

/// What Postfix calls the domain of a host that has none.
const NO_DOMAIN: &str = "localdomain";

/// Facts about the system and the process, gathered by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// What gethostname(2) says.
    pub hostname: String,
    /// Addresses of the network interfaces with their prefix lengths, in the kernel's order.
    pub interfaces: Vec<(IpAddr, u8)>,
    /// Addresses of host names that `inet_interfaces` may list (literal addresses need none).
    pub resolved: BTreeMap<String, Vec<IpAddr>>,
    /// Default of `process_name`.
    pub process_name: String,
    /// Default of `process_id`.
    pub process_id: u32,
}

impl Host {
    /// Default of `myhostname`: fully qualified, with `.localdomain` when there is no better.
    pub(crate) fn my_hostname(&self, mydomain_set: Option<&str>) -> String {
        if self.hostname.contains('.') {
            return self.hostname.clone();
        }
        format!("{}.{}", self.hostname, mydomain_set.unwrap_or(NO_DOMAIN))
    }
}

/// Default of `mydomain`: `myhostname` without its first label.
pub(crate) fn my_domain(myhostname: &str) -> String {
    match myhostname.split_once('.') {
        Some((_, domain)) => domain.to_string(),
        None => NO_DOMAIN.to_string(),
    }
}
