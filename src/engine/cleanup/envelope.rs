//! cleanup(8), the envelope: recipients that are named twice get one copy.
//!
//! Two recipients are the same when address, original and DSN parameters are, whatever the letter
//! case: who asked for different reports gets both.
//!
//! **Limits**: `duplicate_filter_limit` distinct recipients are remembered; later ones are kept
//! even when they are among them no more than once.
//! **Standards**: cleanup(8), postconf(5) `duplicate_filter_limit`.

use mail::{Envelope, Recipient};
use std::collections::BTreeSet;

/// Drops repeated recipients; the first of equal ones stays. `limit` is `duplicate_filter_limit`, 0
/// for none.
pub fn drop_duplicates(envelope: &mut Envelope, limit: usize) {
    if envelope.recipients.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    envelope.recipients.retain(|recipient| {
        let key = key(recipient);
        if seen.contains(&key) {
            return false;
        }
        if limit == 0 || seen.len() < limit {
            seen.insert(key);
        }
        true
    });
}

fn key(recipient: &Recipient) -> Vec<u8> {
    let Recipient { address, original, dsn_orcpt, notify } = recipient;
    let orcpt = dsn_orcpt.as_deref().unwrap_or_default();
    let parts = [orcpt, &[*notify], original.as_bytes(), address.as_bytes()];
    parts.join(b"\n".as_slice()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Address;

    fn named(names: &[&str], limit: usize) -> Vec<String> {
        let recipient = |name: &&str| Recipient::new(Address::from_internal(name.as_bytes()));
        let recipients = names.iter().map(recipient).collect();
        let mut envelope = Envelope { recipients, ..Envelope::default() };
        drop_duplicates(&mut envelope, limit);
        envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect()
    }

    #[test]
    fn the_first_of_equal_recipients_stays() {
        assert_eq!(named(&["a@b", "c@d", "A@B", "c@d"], 1000), ["a@b", "c@d"]);
        assert_eq!(named(&["a@b"], 1000), ["a@b"]);
        assert_eq!(named(&["a@b", "a@b"], 0), ["a@b"]);
    }

    #[test]
    fn what_is_over_the_limit_is_not_remembered() {
        assert_eq!(named(&["a@b", "c@d", "c@d", "a@b"], 1), ["a@b", "c@d", "c@d"]);
    }

    #[test]
    fn different_reports_are_different_recipients() {
        let plain = Recipient::new(Address::from_internal(b"a@b"));
        let never = Recipient { notify: 1, ..plain.clone() };
        let mut envelope = Envelope { recipients: vec![plain, never], ..Envelope::default() };
        drop_duplicates(&mut envelope, 0);
        assert_eq!(envelope.recipients.len(), 2);
    }
}
