//! What a file may say; real servers are in the integration tests.

use super::*;
use crate::testing::{cf_file, open, refused};

#[test]
fn what_the_file_must_have_is_told_as_postfix_tells_it() {
    for (text, what) in [
        ("query = x\n", "bad string length 0 < 1: dbname = "),
        ("dbname = d\nquery =\n", "bad string length 0 < 1: table = "),
        (
            "dbname = d\nquery = x\nrequire_result_set = maybe\n",
            "bad boolean configuration: require_result_set = maybe",
        ),
        ("dbname = d\nquery = x\ncharset = gbk\n", "unsupported parameter value: charset = gbk"),
        ("dbname = d\nquery = x\ntls_CAfile = /x\n", "open /x: No such file or directory"),
        (
            "dbname = d\nquery = x\ntls_cert_file = /x\n",
            "tls_cert_file and tls_key_file belong together",
        ),
        (
            "dbname = d\nquery = x\ntls_ciphers = HIGH\n",
            "unsupported parameter value: tls_ciphers = HIGH",
        ),
        ("dbname = d\nquery = x\nhosts = h:nosuchport\n", "h:nosuchport: unknown service"),
    ] {
        assert_eq!(refused("mysql", text), format!("FILE: {what}"), "{text}");
    }
}

fn server(options: Options) -> Server {
    Server {
        label: "mysql:x".into(),
        query: Template::parse("%s", crate::template::Role::Query).unwrap(),
        user: String::new(),
        password: "own".into(),
        database: "d".into(),
        options,
        ssl: None,
        charset: "utf8mb4".into(),
        requires_result_set: true,
    }
}

#[test]
fn hosts_have_several_forms() {
    let options = Options { user: Some("u".into()), port: Some(7), ..Options::default() };
    let server = server(options);
    for (host, name, port) in
        [("h", "h", 7), ("inet:h:1", "h", 1), ("[::1]:2", "::1", 2), ("127.0.0.1", "127.0.0.1", 7)]
    {
        let opts = server.opts(host).unwrap();
        assert_eq!((opts.ip_or_hostname(), opts.tcp_port(), opts.socket()), (name, port, None));
        assert_eq!((opts.user(), opts.pass()), (Some("u"), Some("own")));
    }
    assert_eq!(server.opts("unix:/a:b").unwrap().socket(), Some("/a:b"));
    assert_eq!(server.opts("inet:localhost").unwrap().socket(), Some(SOCKET));
}

#[test]
fn option_files_give_what_the_file_has_not() {
    let file = cf_file("[client]\nuser=u\npassword=p\n[more]\nuser=v\n");
    let cf = cf_file(&format!("option_file = {}\noption_group = more\n", file.path));
    let name = crate::testing::name("mysql", &cf.path);
    let setting = crate::cf::silent();
    let options = Options::read(&Cf::read(&name, &setting).unwrap()).unwrap();
    assert_eq!((options.user.as_deref(), options.password.as_deref()), (Some("v"), Some("p")));
}

#[tokio::test]
async fn nobody_there_is_a_temporary_failure() {
    let (client, ..) = open("mysql", "dbname = d\nquery = x\nhosts = 127.0.0.1:1\n");
    let Answer::Retry(why) = client.lookup(b"k").await else { panic!("an answer") };
    let what = "Can't connect to server on '127.0.0.1' (111)";
    assert_eq!(why, format!("connect to mysql server 127.0.0.1:1: {what}"));
    assert_eq!(client.lookup(b"\xff").await, Answer::NotFound);
}
