//! What the delivery helper may do for services with the command `virtual`.
//!
//! Called by [`crate::rules`]. Without a usable `virtual_mailbox_base`, which is how a system
//! without virtual mailboxes is configured, a service gets no rules: the helper refuses to deliver
//! for it, and the engine, which reads the same parameters, says why.
//!
//! **Diagnostics**: none of its own. **Standards**: virtual(8), postconf(5) of Postfix 3.7.

use config::Params;
use config::master_cf::Service;
use config::params::BadValue;
use privsep::{Locks, VirtualService};

/// The rules of a service, unless its parameters have no meaning.
pub fn of(params: &Params, service: &Service) -> Option<VirtualService> {
    let params = params.of_service(service);
    let rules = read(&params, service.name.clone()).ok()?;
    rules.filter(|rules| rules.base.starts_with('/'))
}

/// None when a lock method does not exist.
fn read(params: &Params, name: String) -> Result<Option<VirtualService>, BadValue> {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let int = |name: &str| params.int(name).map(i64::unsigned_abs);
    let Some(locks) = Locks::of(&params.list("virtual_mailbox_lock")?) else { return Ok(None) };
    Ok(Some(VirtualService {
        name,
        base: params.text("virtual_mailbox_base")?,
        minimum_uid: number(int("virtual_minimum_uid")?),
        locks,
        lock_attempts: number(int("deliver_lock_attempts")?),
        lock_delay_s: number(params.seconds("deliver_lock_delay")?),
        stale_lock_s: number(params.seconds("stale_lock_time")?),
        mailbox_limit: int("virtual_mailbox_limit")?,
        strict_mailbox_ownership: params.flag("strict_mailbox_ownership")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf, MasterCf};

    fn rules(main: &str, master: &str) -> Option<VirtualService> {
        let main = MainCf::parse("main.cf", main.as_bytes()).unwrap();
        let master = MasterCf::parse("master.cf", master.as_bytes()).unwrap();
        of(&Params::new(main, Host::default()), &master.services()[0])
    }

    #[test]
    fn a_service_has_the_parameters_of_main_cf_and_its_own() {
        let main = "virtual_mailbox_base = /var/vmail\nvirtual_mailbox_lock = flock\n\
                    deliver_lock_delay = 2s\nmailbox_size_limit = 7\n";
        let master = "boxes unix - n n - - virtual\n  -o virtual_minimum_uid=1000 \
                      -o virtual_mailbox_limit=9 -o strict_mailbox_ownership=no\n";
        let expected = VirtualService {
            name: "boxes".into(),
            base: "/var/vmail".into(),
            minimum_uid: 1000,
            locks: Locks { flock: true, ..Locks::default() },
            lock_attempts: 20,
            lock_delay_s: 2,
            stale_lock_s: 500,
            mailbox_limit: 9,
            strict_mailbox_ownership: false,
        };
        assert_eq!(rules(main, master), Some(expected));
    }

    #[test]
    fn without_a_base_or_with_a_lock_that_does_not_exist_there_are_no_rules() {
        let master = "virtual unix - n n - - virtual\n";
        for main in [
            "",
            "virtual_mailbox_base = var/vmail\n",
            "virtual_mailbox_base = /var/vmail\nvirtual_mailbox_lock = paper\n",
            "virtual_mailbox_base = /var/vmail\nvirtual_minimum_uid = 0\n",
        ] {
            assert_eq!(rules(main, master), None, "{main}");
        }
        assert!(rules("virtual_mailbox_base = /var/vmail\n", master).is_some());
    }
}
