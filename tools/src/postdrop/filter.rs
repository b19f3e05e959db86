//! Which records a submission may have, and where.
//!
//! | phase | may come | ends with |
//! | --- | --- | --- |
//! | Envelope | `F S R V A i n` | `M` |
//! | Content | `L N` | `X` |
//! | Extracted | `A R` | `E` |
//!
//! Attributes that are not in the list are dropped with a warning: they could make the mail system
//! believe things about a message that only it may say.

use mail::record::kind;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Dropped; what it is.
    Drop(&'static str),
    /// The submission ends.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Envelope,
    Content,
    Extracted,
    Ended,
}

/// The state of one submission.
#[derive(Debug, Default)]
pub(super) struct Filter {
    phase: Phase,
}

impl Filter {
    /// Judges the next record.
    pub(super) fn take(&mut self, kind: u8, body: &[u8]) -> Verdict {
        let (allowed, end, next): (&[u8], u8, Phase) = match self.phase {
            Phase::Envelope => (b"FSRVAin", kind::MESSAGE, Phase::Content),
            Phase::Content => (b"LN", kind::EXTRACTED, Phase::Extracted),
            Phase::Extracted => (b"AR", kind::END, Phase::Ended),
            Phase::Ended => return Verdict::Refuse,
        };
        if kind == end {
            self.phase = next;
            return Verdict::Keep;
        }
        if !allowed.contains(&kind) {
            return Verdict::Refuse;
        }
        if kind == kind::ATTRIBUTE { attribute(body) } else { Verdict::Keep }
    }

    /// Whether the last record was the end.
    pub(super) fn ended(&self) -> bool {
        self.phase == Phase::Ended
    }
}

fn attribute(body: &[u8]) -> Verdict {
    let Some(equals) = body.iter().position(|byte| *byte == b'=') else {
        return Verdict::Drop("malformed record");
    };
    let (name, value) = (&body[..equals], &body[equals + 1..]);
    let known = match name {
        b"encoding" => matches!(value, b"7bit" | b"8bit" | b"none"),
        b"rewrite_context" => matches!(value, b"local" | b"remote"),
        b"envelope_id" => value.iter().all(|byte| (b' '..=b'~').contains(byte)),
        b"ret_flags" | b"notify_flags" | b"trace_flags" => {
            !value.is_empty() && value.iter().all(u8::is_ascii_digit)
        }
        b"dsn_orig_rcpt" => true,
        _ => false,
    };
    if known { Verdict::Keep } else { Verdict::Drop("attribute record") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_order() {
        let mut filter = Filter::default();
        for kind in *b"FSRMLNXAR" {
            let verdict = filter.take(kind, b"ret_flags=1");
            assert_eq!(verdict, Verdict::Keep, "{}", char::from(kind));
            assert!(!filter.ended());
        }
        assert_eq!(filter.take(b'E', b""), Verdict::Keep);
        assert!(filter.ended());
        assert_eq!(filter.take(b'E', b""), Verdict::Refuse);
    }

    #[test]
    fn a_record_out_of_place_ends_the_submission() {
        for kind in *b"TCDOXEWpwL/" {
            let verdict = Filter::default().take(kind, b"");
            assert_eq!(verdict, Verdict::Refuse, "{}", char::from(kind));
        }
    }

    #[test]
    fn attributes_that_only_the_mail_system_may_set_are_dropped() {
        let mut filter = Filter::default();
        let dropped = Verdict::Drop("attribute record");
        assert_eq!(filter.take(b'A', b"log_client_address=1.2.3.4"), dropped);
        assert_eq!(filter.take(b'A', b"sasl_username=root"), dropped);
        assert_eq!(filter.take(b'A', b"encoding=binary"), dropped);
        assert_eq!(filter.take(b'A', b"foo"), Verdict::Drop("malformed record"));
        assert_eq!(filter.take(b'A', b"encoding=8bit"), Verdict::Keep);
    }
}
