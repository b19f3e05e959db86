//! smtp_generic_maps, seen by the site: names for outside on the way out, nowhere else.

use super::*;

const GENERIC: &str = "recipient_delimiter = +\nmyorigin = ours.example\n\
    mydestination = ours.example\n\
    default_transport = smtp:[192.0.2.61]\nmessage_size_limit = 1000000\n\
    smtp_generic_maps = inline:{{a@ours.example=public@isp.example}, {@ours.example=all@isp.example},\
    {t@b.example=u@b.example}, {u@b.example=never@b.example}}\n";

#[test]
fn envelope_and_header_get_the_names_for_outside() {
    let log = play_new(GENERIC, takes_all(0), |hands| async move {
        let header = "From: A <a@ours.example>\r\nTo: t@b.example, x@b.example\r\n\
                      Cc: c@ours.example\r\n\
                      X-To: a@ours.example\r\nSubject: s";
        let content = format!("{header}\r\n\r\na@ours.example in the body");
        hands.submit("<a@ours.example>", &["<t@b.example>", "<x@b.example>"], &content).await;
        hands.wait(60).await;
        assert_eq!(hands.heard("MAIL FROM:<public@isp.example>"), 1);
        let recipients =
            (hands.heard("RCPT TO:<u@b.example>"), hands.heard("RCPT TO:<x@b.example>"));
        assert_eq!(recipients, (1, 1));
        let text = &hands.mail()[0];
        for part in [
            "\r\nFrom: A <public@isp.example>\r\nTo: u@b.example, x@b.example\r\n\
             Cc: all@isp.example\r\nX-To: a@ours.example\r\nSubject: s\r\n",
            "\r\n\r\na@ours.example in the body\r\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    });
    assert_eq!(count(&log, ": to=<t@b.example>, relay=192.0.2.61"), 1, "{log:#?}");
}

#[test]
fn content_of_several_pieces_loses_nothing_behind_its_new_header() {
    play_new(GENERIC, takes_all(0), |hands| async move {
        let body = format!("{}\r\n", "y".repeat(70)).repeat(8000);
        let content = format!("From: a@ours.example\r\nSubject: long\r\n\r\n{body}");
        hands.submit("<>", &["<x@b.example>"], &content).await;
        hands.wait(60).await;
        let text = &hands.mail()[0];
        let (header, got) = text.split_once("\r\n\r\n").unwrap();
        assert!(header.contains("From: public@isp.example"), "{header}");
        assert_eq!(got.trim_end(), body.trim_end());
    });
}

#[test]
fn a_table_that_fails_makes_mail_wait() {
    let failing = format!("{GENERIC}smtp_generic_maps = fail:x\n");
    let log = play_new(&failing, takes_all(0), |hands| async move {
        hands.submit("<a@ours.example>", &["<x@b.example>"], "Subject: s\r\n\r\nx").await;
        hands.wait(60).await;
        assert_eq!((hands.heard("MAIL FROM"), hands.mail().len()), (0, 0));
    });
    let text = "dsn=4.3.0, status=deferred (generic address mapping failure";
    assert_eq!(count(&log, text), 1, "{log:#?}");
}
