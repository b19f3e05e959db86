//! Which hosts take a domain's mail, and in which order they are tried.
//!
//! Pure functions over what DNS said; the engine's smtp(8) looks names up and calls them.
//!
//! Standards: RFC 5321 section 5.1 (preference, shuffling, truncation at oneself), RFC 7505 (null
//! MX), smtp(8) (`smtp_address_preference`, `smtp_balance_inet_protocols`).

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is better.
    pub preference: u16,
    /// The host; empty or `.` in a null MX.
    pub host: String,
}

/// A host's address that mail may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The host's name.
    pub name: Rc<str>,
    /// One of its addresses.
    pub address: IpAddr,
    /// Its MX preference; 0 without MX.
    pub preference: u16,
}

/// `smtp_address_preference`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyPreference {
    /// None.
    Any,
    /// IPv4 goes first among hosts of equal MX preference.
    Ipv4,
    /// IPv6 does.
    Ipv6,
}

/// Whether the records say that the domain takes no mail.
pub fn is_null(records: &[Mx]) -> bool {
    matches!(records, [Mx { host, .. }] if host.is_empty() || host == ".")
}

/// What is left of candidates sorted by preference when this host is one of them: only better ones.
/// Returns whether it was.
pub fn truncate_at_self(candidates: &mut Vec<Candidate>, own: &[IpAddr]) -> bool {
    let found = candidates.iter().find(|candidate| own.contains(&candidate.address));
    let Some(preference) = found.map(|candidate| candidate.preference) else { return false };
    candidates.retain(|candidate| candidate.preference < preference);
    true
}

/// Sorts by MX preference, then by address family; what is equal stays in the order given, which
/// `random` has made random before when it is not `None`: it gives a number below its argument.
pub fn order(
    candidates: &mut [Candidate],
    family: FamilyPreference,
    random: Option<&mut dyn FnMut(usize) -> usize>,
) {
    if let Some(random) = random {
        for last in (1..candidates.len()).rev() {
            candidates.swap(last, random(last + 1));
        }
    }
    candidates.sort_by_key(|candidate| (candidate.preference, family_rank(candidate, family)));
}

fn family_rank(candidate: &Candidate, family: FamilyPreference) -> u8 {
    match family {
        FamilyPreference::Any => 0,
        FamilyPreference::Ipv4 => u8::from(candidate.address.is_ipv6()),
        FamilyPreference::Ipv6 => u8::from(candidate.address.is_ipv4()),
    }
}

/// Keeps at most `limit` candidates, so that neither address family crowds out the other
/// (`smtp_balance_inet_protocols`). The order stays; a limit of zero is none.
pub fn balance(candidates: &mut Vec<Candidate>, limit: usize) {
    let ipv4 = candidates.iter().filter(|candidate| candidate.address.is_ipv4()).count();
    let ipv6 = candidates.len() - ipv4;
    if limit == 0 || ipv4 == 0 || ipv6 == 0 || candidates.len() <= limit {
        return;
    }
    let half = limit / 2;
    let first_is_ipv4 = usize::from(candidates[0].address.is_ipv4());
    let mut ipv4_left = match (ipv4 <= half, ipv6 <= half) {
        (_, true) => limit - ipv6,
        (true, _) => ipv4,
        _ => (limit + first_is_ipv4) / 2,
    };
    let mut ipv6_left = limit - ipv4_left;
    candidates.retain(|candidate| {
        let left = if candidate.address.is_ipv4() { &mut ipv4_left } else { &mut ipv6_left };
        let kept = *left > 0;
        *left = left.saturating_sub(1);
        kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(preference: u16, address: &str) -> Candidate {
        Candidate { name: address.into(), address: address.parse().unwrap(), preference }
    }

    fn names(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().map(|candidate| &*candidate.name).collect()
    }

    #[test]
    fn preference_decides_before_family() {
        let mut all =
            [candidate(20, "192.0.2.3"), candidate(10, "192.0.2.1"), candidate(10, "::1")];
        order(&mut all, FamilyPreference::Ipv6, None);
        assert_eq!(names(&all), ["::1", "192.0.2.1", "192.0.2.3"]);
        order(&mut all, FamilyPreference::Ipv4, Some(&mut |_| 0));
        assert_eq!(names(&all), ["192.0.2.1", "::1", "192.0.2.3"]);
    }

    #[test]
    fn only_better_hosts_are_left_when_we_are_one_of_them() {
        let own = ["192.0.2.2".parse().unwrap()];
        let mut all =
            [(5, "192.0.2.1"), (10, "192.0.2.4"), (10, "192.0.2.2")].map(|(p, a)| candidate(p, a));
        let mut list = all.to_vec();
        assert!(truncate_at_self(&mut list, &own));
        assert_eq!(names(&list), ["192.0.2.1"]);
        all[2] = candidate(10, "192.0.2.5");
        assert!(!truncate_at_self(&mut all.to_vec(), &own));
    }

    #[test]
    fn a_single_dot_is_a_null_mx() {
        let mx = |host: &str| Mx { preference: 0, host: host.into() };
        assert!(is_null(&[mx(".")]) && is_null(&[mx("")]));
        assert!(!is_null(&[]) && !is_null(&[mx("a")]) && !is_null(&[mx("."), mx("a")]));
    }

    proptest! {
        #[test]
        fn balancing_keeps_the_limit_and_both_families(
            six in proptest::collection::vec(any::<bool>(), 0..20), limit in 2usize..8,
        ) {
            let address = |six: &bool| if *six { "2001:db8::1" } else { "192.0.2.1" };
            let before: Vec<Candidate> = six.iter().map(|six| candidate(1, address(six))).collect();
            let mut after = before.clone();
            balance(&mut after, limit);
            let both = |list: &[Candidate]| {
                list.iter().any(|c| c.address.is_ipv4()) && list.iter().any(|c| c.address.is_ipv6())
            };
            prop_assert_eq!(both(&before), both(&after));
            let expected = if both(&before) { before.len().min(limit) } else { before.len() };
            prop_assert_eq!(after.len(), expected);
        }
    }
}
