//! The words of the notices: the built-in templates of bounce(5).
//!
//! Programs recognise the subjects and the first line; they are Postfix's, byte for byte.

use super::{Occasion, Reader};

/// `Subject:`.
pub fn subject(occasion: Occasion, reader: Reader) -> &'static str {
    match (occasion, reader) {
        (Occasion::Failure, Reader::Sender) => "Undelivered Mail Returned to Sender",
        (Occasion::Failure, _) => "Postmaster Copy: Undelivered Mail",
        (Occasion::Delay, Reader::Sender) => "Delayed Mail (still being retried)",
        (Occasion::Delay, _) => "Postmaster Warning: Delayed Mail",
        (Occasion::Success, _) => "Successful Mail Delivery Report",
    }
}

/// The words above the list of recipients, lines ended by LF; postmasters get none for failures
/// and delays.
pub fn text(occasion: Occasion, host: &str, delay_hours: u64, lifetime_days: u64) -> String {
    let top = format!("This is the mail system at host {host}.\n\n");
    let middle = match occasion {
        Occasion::Failure => "I'm sorry to have to inform you that your message could not\n\
             be delivered to one or more recipients. It's attached below.\n\n"
            .into(),
        Occasion::Delay => delayed(delay_hours, lifetime_days),
        Occasion::Success => "Your message was successfully delivered to the destination(s)\n\
             listed below. If the message was delivered to mailbox you will\n\
             receive no further notifications. Otherwise you may still receive\n\
             notifications of mail delivery errors from other systems.\n\n"
            .into(),
    };
    let help = match occasion {
        Occasion::Success => "",
        _ => {
            "For further assistance, please send mail to postmaster.\n\n\
             If you do so, please include this problem report. You can\n\
             delete your own text from the attached returned message.\n\n"
        }
    };
    format!("{top}{middle}{help}                   The mail system\n")
}

fn delayed(hours: u64, days: u64) -> String {
    let bar = "#".repeat(68);
    format!(
        "{bar}\n# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n{bar}\n\n\
         Your message could not be delivered for more than {hours} hour(s).\n\
         It will be retried until it is {days} day(s) old.\n\n"
    )
}
