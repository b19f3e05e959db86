//! The fuzz target of the client's dialogue: any server, any pieces.

use super::{EhloUse, Ending, Handshake, Hello, Manner, Quoting, Session, Verdict, Want};
use crate::smtp::ehlo::Keywords;
use alloc::string::String;
use alloc::sync::Arc;
use mail::{Address, Envelope, Recipient};

/// Runs a dialogue with a server that says `data`: the first byte chooses the manner, the second
/// the size of the pieces. Panics when an invariant of the dialogue does not hold.
pub fn fuzz_smtp_client(data: &[u8]) {
    let [choice, size, said @ ..] = data else { return };
    let ending = if choice & 1 == 0 { Ending::Quit } else { Ending::Keep };
    let mut session = Session::new(Arc::new(Hello {
        name: String::from("client.example"),
        myhostname: String::from("mx.example"),
        ehlo: if choice & 2 == 0 { EhloUse::Always } else { EhloUse::WhenGreeted },
        discard: Keywords::default(),
        detect_loops: choice & 4 != 0,
        wait_for_quit: choice & 8 != 0,
    }));
    let recipient = Recipient::new(Address::from_internal(b"a@b.example"));
    let envelope = Envelope { recipients: alloc::vec![recipient; 3], ..Envelope::default() };
    let mut pieces = said.chunks(usize::from(*size).max(1));
    let mut begun = false;
    loop {
        match session.poll() {
            Want::Send(bytes) => assert!(bytes.ends_with(b"\r\n")),
            Want::Content(_) => {
                let accepted = session.progress().recipients.contains(&Verdict::Accepted);
                assert!(accepted, "content goes out only when somebody wants it");
                session.content_sent();
            }
            Want::Reply(_) => {
                let Some(piece) = pieces.next() else { return };
                if session.handle_bytes(piece).is_err() {
                    return;
                }
            }
            Want::Nothing if !begun && *session.handshake() == Handshake::Ready => {
                begun = true;
                if !session.is_reusable() {
                    return;
                }
                let manner = Manner { quoting: Quoting::Rfc5321, ending };
                session.begin(&envelope, envelope.recipients.iter(), manner);
            }
            Want::Nothing => return,
        }
    }
}
