//! cleanup(8), the envelope: recipients that are named twice get one copy.
//!
//! Two recipients are the same when address, original and DSN parameters are, whatever the letter
//! case: who asked for different reports gets both. With `enable_original_recipient = no` addresses
//! alone decide.
//!
//! **Limits**: `duplicate_filter_limit` distinct recipients are remembered; later ones are kept
//! even when they are among them no more than once.
//! **Standards**: cleanup(8), postconf(5) `duplicate_filter_limit`, `enable_original_recipient`.

use super::Settings;
use mail::{Envelope, Recipient};
use std::collections::BTreeSet;

/// Drops repeated recipients; the first of equal ones stays.
pub fn drop_duplicates(envelope: &mut Envelope, settings: &Settings) {
    let Settings { keeps_original, duplicate_filter_limit: limit, .. } = *settings;
    if envelope.recipients.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    envelope.recipients.retain(|recipient| {
        let key =
            if keeps_original { key(recipient) } else { folded(recipient.address.as_bytes()) };
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
    folded(&parts.join(b"\n".as_slice()))
}

fn folded(key: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_ascii() => text.to_lowercase().into_bytes(),
        _ => key.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Address;

    fn settings(duplicate_filter_limit: usize) -> Settings {
        Settings { duplicate_filter_limit, ..super::super::tests::settings() }
    }

    #[test]
    fn without_originals_addresses_decide() {
        let recipient = |original: &[u8]| Recipient {
            original: Address::from_internal(original),
            ..Recipient::new(Address::from_internal(b"a@b"))
        };
        let both = || Envelope {
            recipients: vec![recipient(b"x@b"), recipient(b"y@b")],
            ..Envelope::default()
        };
        let (mut kept, mut forgotten) = (both(), both());
        drop_duplicates(&mut kept, &settings(0));
        assert_eq!(kept.recipients.len(), 2);
        drop_duplicates(&mut forgotten, &Settings { keeps_original: false, ..settings(0) });
        assert_eq!(forgotten.recipients.len(), 1);
        assert_eq!(forgotten.recipients[0].original.as_bytes(), b"x@b");
    }

    fn named(names: &[&str], limit: usize) -> Vec<String> {
        let recipient = |name: &&str| Recipient::new(Address::from_internal(name.as_bytes()));
        let recipients = names.iter().map(recipient).collect();
        let mut envelope = Envelope { recipients, ..Envelope::default() };
        drop_duplicates(&mut envelope, &settings(limit));
        envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect()
    }

    #[test]
    fn the_first_of_equal_recipients_stays() {
        assert_eq!(named(&["a@b", "c@d", "A@B", "c@d"], 1000), ["a@b", "c@d"]);
        assert_eq!(named(&["a@b"], 1000), ["a@b"]);
        assert_eq!(named(&["\u{fc}@b", "\u{dc}@B"], 1000), ["\u{fc}@b"]);
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
        drop_duplicates(&mut envelope, &settings(0));
        assert_eq!(envelope.recipients.len(), 2);
    }
}
