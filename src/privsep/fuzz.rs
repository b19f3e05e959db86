//! The entry of the fuzzer: both ends of the dialogue, from bytes and from fields.

use alloc::string::String;
use alloc::vec::Vec;

use crate::alias::{Source, Target};
use crate::reply::{Forward, TEXT_MAX};
use crate::{
    Asked, Code, Reply, Request, Rules, Transaction, Verdict, VirtualRequest, alias, chunk,
    custody, frame, reply, request, rules, virtual_request,
};

/// Any bytes as what the privileged helper and the engine read: refused, or the same bytes again
/// when encoded; as the fields that they write: what is written is read.
pub fn fuzz_privsep_request(data: &[u8]) {
    if let Ok(Some((body, _))) = frame::split(request::KIND, data) {
        read_request(body);
    }
    read_request(data);
    read_alias_request(data);
    read_asked(data);
    read_virtual(data);
    read_replies(data);
    read_reply(data);
    if let Ok(rules) = Rules::decode(data) {
        assert_eq!(rules.encode(), data);
    }
    if data.len() <= rules::BODY_MAX {
        let whole = frame::build(rules::KIND, data);
        if let Ok(rules) = Rules::decode(&whole) {
            assert_eq!(rules.encode(), whole);
        }
    }
    read_custody(data);
    read_content(data);
    write_request(data);
    write_alias_request(data);
    write_virtual(data);
    write_verdict(data);
    write_forward(data);
}

fn read_request(body: &[u8]) {
    let Ok(request) = Request::decode(body) else { return };
    assert!(request.is_valid());
    assert_eq!(frame::whole(request::KIND, &request.encode()), Ok(body));
}

fn read_alias_request(body: &[u8]) {
    let Ok(request) = alias::Request::decode(body) else { return };
    assert!(request.is_valid());
    assert_eq!(frame::whole(alias::KIND, &request.encode()), Ok(body));
}

/// As deliver reads whatever a connection begins with.
fn read_asked(data: &[u8]) {
    let Some((header, rest)) = data.split_first_chunk() else { return };
    let Ok((kind, len)) = Asked::kind(*header) else { return };
    let Some(body) = rest.get(..len) else { return };
    let read = match Asked::decode(kind, body) {
        Ok(Asked::Local(request)) => request.encode(),
        Ok(Asked::Virtual(request)) => request.encode(),
        Ok(Asked::Alias(request)) => request.encode(),
        Err(_) => return,
    };
    assert_eq!(read, data[..header.len() + len], "as it came");
}

fn read_virtual(body: &[u8]) {
    let Ok(request) = VirtualRequest::decode(body) else { return };
    assert!(request.is_valid());
    assert_eq!(frame::whole(virtual_request::KIND, &request.encode()), Ok(body));
    let path = core::str::from_utf8(&request.path).unwrap_or_default();
    assert!(request.climbs() || path.split('/').all(|part| part != ".."));
}

fn read_reply(body: &[u8]) {
    let Ok(reply) = Reply::decode(body) else { return };
    assert_eq!(frame::whole(reply::KIND, &reply.encode()), Ok(body));
}

/// As the engine reads them, one after the other.
fn read_replies(mut data: &[u8]) {
    while let Ok(Some((body, rest))) = frame::split(reply::KIND, data) {
        assert!(rest.len() < data.len(), "a frame is never empty");
        read_reply(body);
        data = rest;
    }
}

/// As master reads what the engine asks, and the next engine what it is handed.
fn read_custody(data: &[u8]) {
    let request = |packet: &[u8]| {
        let Ok(request) = custody::Request::decode(packet) else { return };
        assert!(request.is_valid());
        assert_eq!(request.encode(), packet);
    };
    request(data);
    if data.len() <= custody::BODY_MAX {
        request(&frame::build(custody::KIND, data));
    }
    if let Ok(orphans) = custody::orphans(data) {
        let again: Vec<u8> = orphans.iter().flat_map(custody::Orphan::encode).collect();
        assert_eq!(again, data);
    }
    if let Ok(transaction) = Transaction::decode(data) {
        assert_eq!(transaction.encode(), data);
    }
}

/// As deliver reads the content: pieces within their bound, until an empty one.
fn read_content(mut data: &[u8]) {
    while let Some((header, rest)) = data.split_first_chunk::<{ chunk::HEADER_BYTES }>() {
        let Ok(Some(len)) = chunk::len(*header) else { return };
        assert!(len > 0 && len <= chunk::BYTES_MAX, "a piece within its bound");
        assert_eq!(chunk::header(len), *header, "as the engine writes it");
        let Some((_, rest)) = rest.split_at_checked(len) else { return };
        data = rest;
    }
}

/// Fields with NULs between them, as the engine makes a request of an address.
fn write_request(data: &[u8]) {
    let mut fields = data.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let mut field = || fields.next().unwrap_or_default();
    let (service, user) = (field(), field());
    let request = Request { service, user, from_line: field() };
    if request.is_valid() {
        let bytes = request.encode();
        let body = frame::whole(request::KIND, &bytes).expect("a frame");
        assert_eq!(Request::decode(body), Ok(request));
    }
}

/// A place and a target, then fields with NULs between them, as the engine makes a request of what
/// an alias lists.
fn write_alias_request(data: &[u8]) {
    let [place, kind, fields @ ..] = data else { return };
    let mut fields = fields.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let mut field = || fields.next().unwrap_or_default();
    let (service, name, from_line, text) = (field(), field(), field(), field());
    let target = match kind % 5 {
        0 => Target::File(text),
        1 => Target::Command(text),
        2 => Target::Include(text),
        3 => Target::Mailbox,
        _ => Target::Forward,
    };
    let mut environment: [Vec<u8>; alias::ENVIRONMENT.len()] = Default::default();
    environment.iter_mut().for_each(|value| *value = field());
    let source = if *place == 255 { Source::User } else { Source::Alias(u16::from(*place)) };
    let includes = fields.collect();
    let request =
        alias::Request { service, source, name, includes, target, from_line, environment };
    if request.is_valid() {
        let bytes = request.encode();
        let body = frame::whole(alias::KIND, &bytes).expect("a frame");
        assert_eq!(alias::Request::decode(body), Ok(request));
    }
}

/// Ids, then fields with NULs between them, as the engine makes a request of table results.
fn write_virtual(data: &[u8]) {
    let Some((ids, rest)) = data.split_first_chunk::<8>() else { return };
    let [uid, gid] =
        [&ids[..4], &ids[4..]].map(|id| id.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)));
    let mut fields = rest.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let mut field = || fields.next().unwrap_or_default();
    let (service, path) = (field(), field());
    let request = VirtualRequest { service, path, uid, gid, from_line: field() };
    if request.is_valid() {
        let bytes = request.encode();
        let body = frame::whole(virtual_request::KIND, &bytes).expect("a frame");
        assert_eq!(VirtualRequest::decode(body), Ok(request));
    }
}

/// A code, a status, and texts with NULs between them, as deliver says how it ended.
fn write_verdict(data: &[u8]) {
    let [code, class, subject, detail, texts @ ..] = data else { return };
    let code = [Code::Ok, Code::NoUser, Code::TempFail, Code::IoErr][usize::from(code & 3)];
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let mut texts: Vec<String> = texts.split(|byte| *byte == 0).map(text).collect();
    let status = (class % 6, u16::from(*subject) * 4, u16::from(*detail) * 4);
    let verdict = Verdict { code, status, text: texts.remove(0), warnings: texts };
    let bytes = Reply::Done(verdict).encode();
    let body = frame::whole(reply::KIND, &bytes).expect("a frame");
    let Ok(Reply::Done(read)) = Reply::decode(body) else { return };
    assert_eq!((read.code, read.status), (code, status), "what was said");
    for text in read.warnings.iter().chain([&read.text]) {
        assert!(text.len() <= TEXT_MAX && !text.bytes().any(|byte| byte.is_ascii_control()));
    }
}

/// A flag, then texts with NULs between them, as deliver says which file of a user's it gives.
fn write_forward(data: &[u8]) {
    let [extended, texts @ ..] = data else { return };
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let mut texts: Vec<String> = texts.split(|byte| *byte == 0).map(text).collect();
    let (path, extended) = (texts.remove(0), extended & 1 == 1);
    let bytes = Reply::Forward(Forward { path, extended, warnings: texts }).encode();
    let body = frame::whole(reply::KIND, &bytes).expect("a frame");
    let Ok(Reply::Forward(read)) = Reply::decode(body) else { panic!("what was said") };
    assert_eq!(read.extended, extended);
    for text in read.warnings.iter().chain([&read.path]) {
        assert!(text.len() <= TEXT_MAX && !text.bytes().any(|byte| byte.is_ascii_control()));
    }
}
