//! [`Plan`]: what a seed decides before the run begins: the configuration, who sends, who receives.
//!
//! | site | what it is for |
//! | --- | --- |
//! | 0 | always well: its mail may never wait for the others' |
//! | 1, 2 | where the senders have their mailboxes; never unwell for long |
//! | 3 | the postmaster's |
//! | others | unwell at times, with one to three hosts |

use super::chance::Chance;
use super::ledger::Kind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// The site that is always well.
pub const WELL: usize = 0;
/// Sites with the senders' mailboxes.
pub const HOMES: [usize; 2] = [1, 2];
/// The postmaster's site.
pub const OPERATOR: usize = 3;
/// The first site that may be unwell.
pub const FIRST_UNWELL: usize = 4;
/// Sites whose mail takes the relay transport: one in so many.
const RELAY_ONE_IN: usize = 3;

/// A destination.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// Its domain.
    pub domain: String,
    /// Its hosts, best first.
    pub hosts: Vec<Ipv4Addr>,
    /// Connections at once that it is content with.
    pub sessions_max: usize,
    /// Whether it offers PIPELINING.
    pub pipelining: bool,
}

/// Bounds that a reload changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `default_destination_concurrency_limit`.
    pub concurrency: u32,
    /// `relay_destination_concurrency_limit`.
    pub relay_concurrency: u32,
    /// `default_destination_recipient_limit`.
    pub recipients: u32,
}

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Cores at first; the number changes with restarts.
    pub cores: usize,
    /// Destinations.
    pub sites: Vec<SitePlan>,
    /// Senders.
    pub senders: usize,
    /// Mean time between two bursts of one sender.
    pub burst_pause: Duration,
    /// The bounds at first.
    pub limits: Limits,
    /// `minimal_backoff_time`, seconds.
    pub minimal_backoff: u64,
    /// `maximal_backoff_time`, seconds.
    pub maximal_backoff: u64,
    /// `maximal_queue_lifetime`, seconds.
    pub lifetime: u64,
    /// `queue_run_delay`, seconds.
    pub run_delay: u64,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of the queue volume.
    pub disk_bytes: u64,
    /// smtpd clients at once.
    pub smtpd_limit: usize,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64, hours: u64) -> Plan {
        let mut chance = Chance::new(seed, 1);
        let minimal_backoff = chance.one_of(&[60, 300, 300, 600]);
        Plan {
            seed,
            cores: chance.between(1, 4) as usize,
            sites: sites(&mut chance),
            senders: chance.between(3, 8) as usize,
            // Longer runs are not denser ones.
            burst_pause: Duration::from_secs(chance.between(300, 1200) + 20 * hours.min(100)),
            limits: Plan::limits(&mut chance),
            minimal_backoff,
            maximal_backoff: minimal_backoff * chance.one_of(&[4, 13]),
            lifetime: chance.one_of(&[DAY / 4, DAY, 5 * DAY]),
            run_delay: chance.one_of(&[60, 300, 300]),
            segment_bytes: 1 << 20,
            disk_bytes: chance.one_of(&[48 << 20, 96 << 20]),
            smtpd_limit: chance.one_of(&[4, 20, 100]),
        }
    }

    /// Bounds, when the configuration is written or changed.
    pub fn limits(chance: &mut Chance) -> Limits {
        Limits {
            concurrency: chance.one_of(&[1, 2, 5, 20]),
            relay_concurrency: chance.one_of(&[1, 3, 10]),
            recipients: chance.one_of(&[1, 2, 5, 50]),
        }
    }

    /// main.cf with these bounds.
    pub fn main_cf(&self, limits: Limits) -> String {
        let relay: Vec<&str> = self.relay_domains().collect();
        format!(
            "compatibility_level = 3.6\nmyhostname = mx.example.test\nmydestination =\n\
             alias_maps =\nmynetworks = 198.51.100.0/24\nsmtpd_peername_lookup = no\n\
             queue_minfree = 0\nmessage_size_limit = 600000\nnotify_classes = 2bounce\n\
             2bounce_notice_recipient = postmaster@{}\nrelay_domains = {}\n\
             smtpd_client_connection_count_limit = 0\n\
             default_destination_concurrency_limit = {}\n\
             relay_destination_concurrency_limit = {}\n\
             default_destination_recipient_limit = {}\n\
             minimal_backoff_time = {}s\nmaximal_backoff_time = {}s\n\
             maximal_queue_lifetime = {}s\nbounce_queue_lifetime = {}s\nqueue_run_delay = {}s\n",
            self.sites[OPERATOR].domain,
            relay.join(" "),
            limits.concurrency,
            limits.relay_concurrency,
            limits.recipients,
            self.minimal_backoff,
            self.maximal_backoff,
            self.lifetime,
            self.lifetime,
            self.run_delay,
        )
    }

    /// master.cf.
    pub fn master_cf(&self) -> String {
        format!(
            "smtp inet n - n - {} smtpd\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
             error unix - - n - - error\nretry unix - - n - - error\n\
             discard unix - - n - - discard\n",
            self.smtpd_limit
        )
    }

    fn relay_domains(&self) -> impl Iterator<Item = &str> {
        let relayed = (0..self.sites.len()).filter(|site| is_relayed(*site));
        relayed.map(|site| self.sites[site].domain.as_str())
    }

    /// How many deliveries to a site may be under way. Where each recipient is a delivery of its
    /// own, the limit is each recipient's, as in Postfix.
    pub fn concurrency(&self, site: usize, limits: Limits) -> usize {
        match limits.recipients {
            1 => usize::MAX,
            _ if is_relayed(site) => limits.relay_concurrency as usize,
            _ => limits.concurrency as usize,
        }
    }

    /// A recipient's site and kind.
    pub fn recipient(&self, chance: &mut Chance) -> (usize, Kind) {
        let site = match chance.one_in(4) {
            true => WELL,
            false => chance.between(FIRST_UNWELL as u64, self.sites.len() as u64 - 1) as usize,
        };
        let kind = match chance.below(100) {
            0..80 => Kind::Usual,
            80..90 => Kind::Greylisted,
            90..94 => Kind::Later,
            _ => Kind::Never,
        };
        (site, kind)
    }
}

/// Where the smtpd of a core listens.
pub fn smtpd_address(core: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10 + core as u8)), 25)
}

fn is_relayed(site: usize) -> bool {
    site >= FIRST_UNWELL && site.is_multiple_of(RELAY_ONE_IN)
}

fn sites(chance: &mut Chance) -> Vec<SitePlan> {
    let count = FIRST_UNWELL as u64 + chance.between(4, 12);
    let site = |number: u64| {
        let unwell = number >= FIRST_UNWELL as u64;
        let hosts = if unwell && chance.one_in(3) { chance.between(2, 3) } else { 1 };
        SitePlan {
            domain: format!("site{number}.test"),
            hosts: (0..hosts)
                .map(|host| Ipv4Addr::new(203, 0, 113, (number * 4 + host) as u8))
                .collect(),
            sessions_max: if unwell { chance.one_of(&[1, 3, 1000, 1000]) } else { 1000 },
            pipelining: !chance.one_in(4),
        }
    };
    (0..count).map(site).collect()
}
