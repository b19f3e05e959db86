//! [`Orders`]: what checks have decided about a whole message, whichever of its recipients, headers
//! or lines they looked at.
//!
//! Given by access tables in smtpd and by header and body checks in cleanup; carried out when the
//! message is queued.
//!
//! **Standards**: access(5), header_checks(5): ACTIONS.

use mail::{Address, Envelope, Recipient};

/// What is done with a message instead of the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// It is put on hold.
    pub hold: bool,
    /// It is thrown away, and said to have been taken.
    pub discard: bool,
    /// `transport:destination` for all recipients; the last one counts.
    pub filter: Option<String>,
    /// One recipient instead of all.
    pub redirect: Option<Address>,
    /// Further recipients, whom nobody sees.
    pub bcc: Vec<Address>,
}

impl Orders {
    /// Adds what was ordered later.
    pub fn add(&mut self, later: Orders) {
        self.hold |= later.hold;
        self.discard |= later.discard;
        self.filter = later.filter.or_else(|| self.filter.take());
        self.redirect = later.redirect.or_else(|| self.redirect.take());
        self.bcc.extend(later.bcc);
    }

    /// Carries out what concerns where the message goes; its recipients have been mapped.
    pub fn route(&self, envelope: &mut Envelope) {
        if self.filter.is_some() {
            envelope.filter.clone_from(&self.filter);
        }
        let Some(address) = &self.redirect else { return };
        // It stands for the first of them in the queue manager's order, as in Postfix.
        let first = std::mem::take(&mut envelope.recipients).into_iter().min_by_key(order);
        let redirected = |first| Recipient { address: address.clone(), ..first };
        envelope.recipients.extend(first.map(redirected));
    }
}

/// By domain, then by address.
fn order(recipient: &Recipient) -> (Vec<u8>, Vec<u8>) {
    let address = &recipient.address;
    let domain = address.domain().unwrap_or_default().to_ascii_lowercase();
    (domain, address.as_bytes().to_ascii_lowercase())
}

/// Whether a FILTER action can be carried out.
pub fn is_filter(text: &str) -> bool {
    text.contains(':')
}

/// The address of a REDIRECT or BCC action, if it is one.
pub fn address(text: &str) -> Option<Address> {
    text.contains('@').then(|| Address::from_internal(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(filter: Option<&str>, redirect: Option<&str>) -> Orders {
        let (filter, redirect) = (filter.map(String::from), redirect.and_then(address));
        Orders { filter, redirect, ..Orders::default() }
    }

    #[test]
    fn the_last_filter_and_redirection_count_and_nothing_else_is_lost() {
        let mut orders = order(Some("a:b"), Some("x@y"));
        orders.hold = true;
        orders.add(Orders { bcc: vec![Address::from_internal(b"b@c")], ..order(None, None) });
        assert_eq!(orders.filter.as_deref(), Some("a:b"));
        orders.add(order(Some("c:d"), Some("z@y")));
        assert_eq!(orders.filter.as_deref(), Some("c:d"));
        assert_eq!(orders.redirect, address("z@y"));
        assert!(orders.hold && !orders.discard && orders.bcc.len() == 1);
    }

    #[test]
    fn a_redirected_message_has_one_recipient_who_is_known_by_another() {
        let recipients = ["c@d", "z@b", "d@b"];
        let recipients = recipients.map(|it| Recipient::new(Address::from_internal(it.as_bytes())));
        let mut envelope = Envelope { recipients: recipients.to_vec(), ..Envelope::default() };
        order(None, Some("x@y")).route(&mut envelope);
        let [only] = envelope.recipients.as_slice() else { panic!("{envelope:?}") };
        assert_eq!((only.address.as_bytes(), only.original.as_bytes()), (&b"x@y"[..], &b"d@b"[..]));
        assert_eq!(envelope.filter, None);
        let before = envelope.clone();
        Orders::default().route(&mut envelope);
        assert_eq!(envelope, before);
    }
}
