//! What the server says when nothing depends on the client.

use crate::smtp::faults::Faults;
use crate::smtp::reply::Reply;

pub(super) const NOT_RECOGNIZED: Reply = Reply::fixed("500 5.5.2 Error: command not recognized");
pub(super) const BAD_SYNTAX: Reply = Reply::fixed("500 5.5.2 Error: bad syntax");
pub(super) const HELO_FIRST: Reply = Reply::fixed("503 5.5.1 Error: send HELO/EHLO first");
pub(super) const NESTED_MAIL: Reply = Reply::fixed("503 5.5.1 Error: nested MAIL command");
pub(super) const NEED_MAIL: Reply = Reply::fixed("503 5.5.1 Error: need MAIL command");
pub(super) const NEED_RCPT: Reply = Reply::fixed("503 5.5.1 Error: need RCPT command");
pub(super) const NO_RECIPIENTS: Reply = Reply::fixed("554 5.5.1 Error: no valid recipients");
pub(super) const IN_TRANSACTION: Reply =
    Reply::fixed("503 5.5.1 Error: MAIL transaction in progress");
pub(super) const TOO_MANY_RECIPIENTS: Reply = Reply::fixed("452 4.5.3 Error: too many recipients");
pub(super) const SYNTAX_DATA: Reply = Reply::fixed("501 5.5.4 Syntax: DATA");
pub(super) const SYNTAX_BDAT: Reply = Reply::fixed("521 5.5.4 Syntax: BDAT count [LAST]");
pub(super) const DATA_AFTER_BDAT: Reply = Reply::fixed("503 5.5.1 Error: DATA after BDAT");
pub(super) const LARGE_CHUNK: Reply = Reply::fixed("552 5.3.4 Chunk exceeds message size limit");
pub(super) const RCPT_AFTER_BDAT: Reply = Reply::fixed("503 5.5.1 Error: RCPT after BDAT");
pub(super) const SYNTAX_RSET: Reply = Reply::fixed("501 5.5.4 Syntax: RSET");
pub(super) const SYNTAX_VRFY: Reply = Reply::fixed("501 5.5.4 Syntax: VRFY address");
pub(super) const SYNTAX_VRFY_UTF8: Reply =
    Reply::fixed("501 5.5.4 Syntax: VRFY address [SMTPUTF8]");
pub(super) const VRFY_DISABLED: Reply = Reply::fixed("502 5.5.1 VRFY command is disabled");
pub(super) const BAD_UTF8: Reply = Reply::fixed("500 5.5.2 Error: bad UTF-8 syntax");
pub(super) const SYNTAX_STARTTLS: Reply = Reply::fixed("501 5.5.4 Syntax: STARTTLS");
pub(super) const NO_TLS: Reply = Reply::fixed("502 5.5.1 Error: command not implemented");
pub(super) const NO_AUTH: Reply = Reply::fixed("503 5.5.1 Error: authentication not enabled");
pub(super) const SYNTAX_XCLIENT: Reply =
    Reply::fixed("501 5.5.4 Syntax: XCLIENT attribute=value...");
pub(super) const SYNTAX_XFORWARD: Reply =
    Reply::fixed("501 5.5.4 Syntax: XFORWARD attribute=value...");
pub(super) const NOT_AUTHORIZED: Reply =
    Reply::fixed("550 5.7.0 Error: insufficient authorization");
pub(super) const ETRN_HELO_FIRST: Reply = Reply::fixed("503 Error: send HELO/EHLO first");
pub(super) const ETRN_IN_TRANSACTION: Reply =
    Reply::fixed("503 Error: MAIL transaction in progress");
pub(super) const SYNTAX_ETRN: Reply = Reply::fixed("500 Syntax: ETRN domain");
pub(super) const BAD_ETRN: Reply = Reply::fixed("501 Error: invalid parameter syntax");
pub(super) const SEND_DATA: Reply = Reply::fixed("354 End data with <CR><LF>.<CR><LF>");
pub(super) const UNSYNCHRONIZED: Reply =
    Reply::fixed("554 5.5.0 Error: SMTP protocol synchronization");
pub(super) const OK: Reply = Reply::fixed("250 2.0.0 Ok");
pub(super) const BYE: Reply = Reply::fixed("221 2.0.0 Bye");
pub(super) const GOODBYE: Reply = Reply::fixed("221 2.7.0 Error: I can break rules, too. Goodbye.");

/// What a refusal of the dialogue's own is about.
pub(super) fn fault(reply: &Reply) -> Faults {
    const POLICY: [Reply; 6] = [
        TOO_MANY_RECIPIENTS,
        VRFY_DISABLED,
        HELO_FIRST,
        ETRN_HELO_FIRST,
        NOT_AUTHORIZED,
        LARGE_CHUNK,
    ];
    // Nothing is wrong with what only follows from a refusal before.
    let follows = *reply == NO_RECIPIENTS || reply.code() == 551;
    if follows {
        Faults::NONE
    } else if POLICY.contains(reply) {
        Faults::POLICY
    } else {
        Faults::PROTOCOL
    }
}
