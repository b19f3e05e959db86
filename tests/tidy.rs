//! The house rules that can be checked from text; ARCHITECTURE.md says why they are rules.
//!
//! `cargo test --test tidy` lists every violation at once, as `file:line: what`. Each rule is a
//! function from a file to its violations, and each is shown a violation of its own below.
//! Exceptions are tables with a reason, at the end of this file; never weaken a rule for one.
//!
//! Limits: code is told from strings and comments by a small lexer, not by a parser. What it cannot
//! see: braces in macros that do not match, `fn` with a brace in its signature.

use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line.
const COLUMNS_MAX: usize = 100;
/// Lines of a file.
const LINES_MAX: usize = 700;
/// Lines of code in a function, without its signature.
const FUNCTION_LINES_MAX: usize = 70;

/// One Rust file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
    /// The text with strings and comments blanked; as many lines and bytes.
    code: String,
    /// Line numbers, from 0, that are under `#[cfg(test)]`.
    test_lines: Vec<bool>,
}

/// `file:line: what`, or `file: what` with line 0.
type Violations = Vec<String>;

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = code_of(text);
        let test_lines = test_lines(path, &code);
        Source { path: path.into(), text: text.into(), code, test_lines }
    }

    fn complain(&self, line: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }

    fn is_under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].bytes().filter(|byte| *byte == b'\n').count()
    }

    /// Lines of code that have `word`, whole; test code is left out unless `everywhere`.
    fn lines_with(&self, word: &str, everywhere: bool) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        let wanted = |line: &usize| everywhere || !self.test_lines[*line];
        lines
            .filter(|(_, text)| has_word(text, word))
            .map(|(line, _)| line)
            .filter(wanted)
            .collect()
    }
}

/// Whether `word` stands in `text`, with no letter, digit or `_` next to a letter of its own.
fn has_word(text: &str, word: &str) -> bool {
    let part = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let (first, last) = (word.bytes().next(), word.bytes().last());
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].bytes().last();
        let after = text[at + word.len()..].bytes().next();
        !(part(first) && part(before) || part(last) && part(after))
    })
}

/// Blanks strings, characters and comments.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + opaque_len(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// How many bytes at `at` are a string, a character or a comment; 0 for code.
fn opaque_len(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => quoted_len(rest, b'"'),
        [b'r', b'"' | b'#', ..] | [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => {
            raw_string_len(rest)
        }
        [b'\'', b'\\', ..] => quoted_len(rest, b'\''),
        // A character, not a lifetime: its quote comes back after one character.
        [b'\'', first, ..] => {
            let width = first.leading_ones().max(1) as usize;
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string_len(rest: &[u8]) -> usize {
    let start = rest.iter().position(|byte| *byte == b'#' || *byte == b'"').unwrap_or(0);
    let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(start + hashes) != Some(&b'"') {
        return 0; // r#name
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = start + hashes + 1;
    let close = rest[body..].windows(end.len()).position(|window| window == end);
    close.map_or(rest.len(), |close| body + close + end.len())
}

/// Where the bracket that opens at `open` closes.
fn matching_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The brace that opens the body of the item at `at`; `None` when a semicolon ends it.
fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let whole = path.starts_with("tests/")
        || path.contains("/tests/")
        || TEST_FILES.iter().any(|name| path.ends_with(name));
    let mut lines = vec![whole; code.lines().count() + 1];
    let line_of = |offset: usize| code[..offset].bytes().filter(|byte| *byte == b'\n').count();
    for (at, attribute) in code.match_indices("#[cfg(test)]") {
        if let Some(open) = body_start(code, at + attribute.len()) {
            lines[line_of(at)..=line_of(matching_brace(code, open))].fill(true);
        }
    }
    lines
}

// The rules.

fn shape(file: &Source) -> Violations {
    let mut found = Vec::new();
    if !file.text.starts_with("//! ") {
        found.push(file.complain(0, "a file opens with `//!` and what it is for"));
    }
    if file.text.lines().count() > LINES_MAX {
        found.push(file.complain(LINES_MAX, "more than 700 lines: look for the second noun"));
    }
    for (line, (text, code)) in file.text.lines().zip(file.code.lines()).enumerate() {
        if text.chars().count() > COLUMNS_MAX && !is_data(text, code) {
            found.push(file.complain(line, "more than 100 columns"));
        }
        if !text.is_ascii() {
            found.push(file.complain(line, "not ASCII"));
        }
    }
    found
}

/// Whether a line is nothing but a string, which would only be harder to search for in pieces.
fn is_data(text: &str, code: &str) -> bool {
    let comment = text.trim_start().starts_with("//");
    !comment && code.bytes().all(|byte| b" ,;)".contains(&byte))
}

fn function_length(file: &Source) -> Violations {
    let mut found = Vec::new();
    for (at, _) in file.code.match_indices("fn ") {
        let starts_word = at == 0 || !file.code.as_bytes()[at - 1].is_ascii_alphanumeric();
        let Some(open) = body_start(&file.code, at).filter(|_| starts_word) else { continue };
        let body = &file.code[open..matching_brace(&file.code, open)];
        let lines = body.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
        let line = file.line_of(at);
        if lines > FUNCTION_LINES_MAX && !is_expected_long(file, line) {
            found.push(file.complain(line, &format!("a function of {lines} lines")));
        }
    }
    found
}

/// Whether the attributes above a function say why it is long.
fn is_expected_long(file: &Source, line: usize) -> bool {
    let above: Vec<&str> = file.text.lines().take(line).collect();
    let attributes = above.iter().rev().take_while(|text| !text.trim().is_empty());
    attributes.into_iter().any(|text| text.contains("expect(clippy::too_many_lines, reason"))
}

fn unsafe_code(file: &Source) -> Violations {
    if UNSAFE.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let lines = file.lines_with("unsafe", true);
    lines.iter().map(|line| file.complain(*line, "unsafe, and not in the list")).collect()
}

fn banned_words(file: &Source) -> Violations {
    let mut found = Vec::new();
    let mut ban = |word: &str, everywhere| {
        let lines = file.lines_with(word, everywhere);
        found.extend(lines.iter().map(|line| file.complain(*line, &format!("`{word}`"))));
    };
    ban("todo!", true);
    ban("unimplemented!", true);
    ban("dbg!", true);
    ban(".unwrap()", false);
    if !file.is_under(PRINTING) {
        ban("println!", false);
        ban("print!", false);
    }
    found
}

/// The engine reaches the kernel through the runtime only: or the simulator cannot own it.
fn engine_io(file: &Source) -> Violations {
    if !file.is_under(&["src/engine/"])
        || ENGINE_BLOCKING.iter().any(|(path, _)| *path == file.path)
    {
        return Vec::new();
    }
    let words = ["std::fs", "std::thread", "std::process", "TcpStream", "TcpListener", "UdpSocket"];
    let found = words.iter().flat_map(|word| {
        let lines = file.lines_with(word, false).into_iter();
        lines.map(move |line| file.complain(line, &format!("`{word}` in the engine")))
    });
    found.collect()
}

/// What stands below the wall has no I/O, and no crate takes unsafe code by default.
fn crate_head(file: &Source) -> Violations {
    let mut found = Vec::new();
    if !file.path.ends_with("lib.rs") {
        return found;
    }
    if PURE.iter().any(|path| *path == file.path) && !file.code.contains("#![no_std]") {
        found.push(file.complain(0, "this crate is `#![no_std]`"));
    }
    found
}

/// Three binaries share one package: cargo alone would let any of them use anything.
fn binary_edges(file: &Source) -> Violations {
    let Some((_, allowed)) = BINARIES.iter().find(|(path, _)| *path == file.path) else {
        let unlisted = file.path.starts_with("src/bin/");
        return if unlisted { vec![file.complain(0, "not in BINARIES")] } else { Vec::new() };
    };
    let rooms = OURS.iter().filter(|room| !allowed.contains(room));
    let found = rooms.flat_map(|room| {
        let lines = file.lines_with(&format!("{room}::"), true).into_iter();
        lines.map(move |line| file.complain(line, &format!("this binary may not use `{room}`")))
    });
    found.collect()
}

/// A file that no `mod` names is not compiled.
fn reachable(files: &[Source]) -> Violations {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !is_root(&file.path)) {
        let (dir, name) = file.path.rsplit_once('/').expect("only roots are at the top");
        let module = name.strip_suffix(".rs").expect("a Rust file");
        let parents = [
            format!("{dir}.rs"),
            format!("{dir}/lib.rs"),
            format!("{dir}/main.rs"),
            format!("{dir}/mod.rs"),
        ];
        let parent =
            files.iter().find(|other| parents.contains(&other.path) && other.path != file.path);
        if !parent.is_some_and(|parent| has_word(&parent.code, &format!("mod {module};"))) {
            found
                .push(file.complain(0, &format!("no `mod {module};` in {}", parents.join(" or "))));
        }
    }
    found
}

/// Whether cargo finds the file by itself.
fn is_root(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    matches!(name, "lib.rs" | "main.rs" | "mod.rs" | "build.rs")
        || dir.ends_with("bin")
        || matches!(dir, "tests" | "bench" | "fuzz/targets")
        || dir.ends_with("/tests") && !dir.starts_with("src/")
}

fn machine_paths(path: &str, text: &[u8]) -> Violations {
    let mut found = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        for word in MACHINE {
            let word = word.concat();
            if line.windows(word.len()).any(|window| window == word.as_bytes()) {
                found.push(format!("{path}:{}: a path of one machine, {word}", number + 1));
            }
        }
    }
    found
}

/// The walls: which of our crates a manifest may name.
fn crate_edges(path: &str, manifest: &str) -> Violations {
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == path) else {
        return vec![format!("{path}:1: a crate that is not in EDGES")];
    };
    let mut section = "";
    let mut found = Vec::new();
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['=', '.']).next().unwrap_or_default().trim();
        let name = name.strip_prefix("ringpost-").unwrap_or(name);
        let in_section = section.contains("dependencies") && !section.contains("workspace");
        if in_section && OURS.contains(&name) && !allowed.contains(&name) {
            found.push(format!("{path}:{}: this crate may not use `{name}`", number + 1));
        }
    }
    found
}

const RULES: [fn(&Source) -> Violations; 7] =
    [shape, function_length, unsafe_code, banned_words, engine_io, crate_head, binary_edges];

// The files.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Everything that is ours: no build output, no version control, nothing hidden but `.ci`.
fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = name.starts_with('.') && !matches!(&*name, ".ci" | ".gitignore" | ".github");
        if hidden || matches!(&*name, "target" | "artifacts") || path.is_symlink() {
            continue;
        }
        if path.is_dir() { walk(&path, files) } else { files.push(path.clone()) }
    }
}

fn check_everything() -> Violations {
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths.sort();
    let (mut found, mut sources) = (Vec::new(), Vec::new());
    for path in paths {
        let bytes = fs::read(&path).expect("a readable file");
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy();
        found.extend(machine_paths(&name, &bytes));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => sources.push(Source::new(&name, &String::from_utf8_lossy(&bytes))),
            _ if name.ends_with("Cargo.toml") => {
                found.extend(crate_edges(&name, &String::from_utf8_lossy(&bytes)));
            }
            _ => {}
        }
    }
    assert!(sources.len() > 100, "the files were found");
    for file in &sources {
        found.extend(RULES.iter().flat_map(|rule| rule(file)));
    }
    found.extend(reachable(&sources));
    found
}

#[test]
fn the_house_rules_hold() {
    let found = check_everything();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_exception_is_still_needed() {
    for (path, reason) in UNSAFE.iter().chain(ENGINE_BLOCKING) {
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        let code = code_of(&text);
        let needed = ["unsafe", "std::fs", "std::thread", "std::process", "TcpStream", "UdpSocket"];
        assert!(needed.iter().any(|word| has_word(&code, word)), "{path} ({reason}) needs none");
    }
}

#[test]
fn each_rule_sees_its_violation() {
    let long = format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(71));
    for (path, text, what) in [
        ("src/a/b.rs", "fn f() {}\n", "a file opens"),
        ("src/a/b.rs", &format!("//! x\n// {}\n", "x".repeat(98)), "columns"),
        ("src/a/b.rs", "//! caf\u{e9}\n", "ASCII"),
        ("src/a/b.rs", &format!("//! x\n{}", "\n".repeat(701)), "700 lines"),
        ("src/a/b.rs", &long, "a function of 71 lines"),
        ("src/a/b.rs", "//! x\nunsafe fn f() {}\n", "unsafe"),
        ("src/a/b.rs", "//! x\nfn f() { todo!() }\n", "todo!"),
        ("src/a/b.rs", "//! x\nfn f() { g().unwrap() }\n", ".unwrap()"),
        ("src/a/b.rs", "//! x\nfn f() { println!() }\n", "println!"),
        ("src/engine/b.rs", "//! x\nuse std::fs;\n", "std::fs"),
        ("src/mail/lib.rs", "//! x\n", "no_std"),
        ("src/bin/master.rs", "//! x\nuse engine::launch;\n", "may not use `engine`"),
    ] {
        let file = Source::new(path, text);
        let found: Violations = RULES.iter().flat_map(|rule| rule(&file)).collect();
        assert!(found.len() == 1 && found[0].contains(what), "{text:?}: {found:?}");
    }
    assert_eq!(
        reachable(&[Source::new("src/a/lib.rs", ""), Source::new("src/a/b.rs", "")]).len(),
        1
    );
    assert_eq!(machine_paths("x", MACHINE[0].concat().as_bytes()).len(), 1);
    let manifest = "[dependencies]\nengine = { workspace = true }\n";
    assert_eq!(crate_edges("src/mail/Cargo.toml", manifest).len(), 1);
}

#[test]
fn strings_comments_and_tests_are_not_code() {
    let text = "//! x\nlet a = \"unsafe \\\" {\"; // unsafe {\nlet b = r#\"unsafe \" {\"#;\n\
        let c = ['{', '\\'', b'\"']; /* unsafe /* { */ */ fn f<'a>(x: &'a str) {}\n\
        #[cfg(test)]\nmod tests {\n    fn g() { h().unwrap() }\n}\n";
    let file = Source::new("src/a/b.rs", text);
    assert_eq!(file.code.matches('{').count(), file.code.matches('}').count(), "{}", file.code);
    assert_eq!(RULES.iter().flat_map(|rule| rule(&file)).next(), None);
}

// The tables.

/// Our crates, by their room's name.
const OURS: &[&str] = &[
    "bench",
    "config",
    "deliver",
    "engine",
    "mail",
    "master",
    "privsep",
    "protocol",
    "queue",
    "remote",
    "runtime",
    "scheduler",
    "tables",
    "tools",
];

/// The walls of ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("Cargo.toml", OURS),
    ("src/mail/Cargo.toml", &[]),
    ("src/protocol/Cargo.toml", &["mail"]),
    ("src/config/Cargo.toml", &[]),
    ("src/scheduler/Cargo.toml", &[]),
    ("src/tables/Cargo.toml", &[]),
    ("src/remote/Cargo.toml", &["config", "tables"]),
    ("src/runtime/Cargo.toml", &[]),
    ("queue/Cargo.toml", &[]),
    ("src/privsep/Cargo.toml", &[]),
    ("src/deliver/Cargo.toml", &["mail", "privsep", "tables"]),
    ("src/master/Cargo.toml", &["config", "privsep"]),
    (
        "src/engine/Cargo.toml",
        &[
            "config",
            "mail",
            "privsep",
            "protocol",
            "queue",
            "remote",
            "runtime",
            "scheduler",
            "tables",
        ],
    ),
    ("tools/Cargo.toml", &["config", "mail", "master", "protocol", "queue", "remote", "tables"]),
    (
        "bench/Cargo.toml",
        &["config", "engine", "mail", "protocol", "queue", "runtime", "scheduler", "tables"],
    ),
    (
        "fuzz/Cargo.toml",
        &["config", "engine", "mail", "privsep", "protocol", "queue", "remote", "tables"],
    ),
];

/// Which rooms a binary of the root package may name.
const BINARIES: &[(&str, &[&str])] = &[
    ("src/bin/master.rs", &["config", "master"]),
    // Of master: the facts about the host and the reader of files, which both need at start.
    ("src/bin/engine.rs", &["config", "engine", "master", "runtime", "tables"]),
    ("src/bin/deliver.rs", &["deliver", "privsep"]),
    ("src/bin/ringpost.rs", &["bench", "config", "engine", "runtime"]),
];

/// Crates in which a socket, a file, a clock or a thread does not compile.
const PURE: &[&str] = &[
    "src/mail/lib.rs",
    "src/protocol/lib.rs",
    "src/config/lib.rs",
    "src/scheduler/lib.rs",
    "src/privsep/lib.rs",
];

/// Files that may say `unsafe`.
const UNSAFE: &[(&str, &str)] = &[
    ("src/runtime/ring/sys.rs", "submission and completion entries"),
    ("src/runtime/ring/buffers.rs", "buffers that the kernel may hold"),
    ("src/runtime/net/system.rs", "descriptors out of completions"),
    ("queue/src/map.rs", "read-only maps of segments"),
    ("src/memory/collect.rs", "asking the allocator to give memory back"),
    ("src/tables/pattern/posix.rs", "the system's regular expressions"),
    ("bench/rewrite.rs", "an allocator that counts"),
    ("tools/src/postmap/lmdb.rs", "the library maps the file it writes"),
    ("src/deliver/fork.rs", "fork in a process with one thread"),
    ("src/inherited.rs", "descriptors that the supervisor hands over"),
    ("src/sandbox/filter.rs", "loading a system call filter"),
];

/// Files of the engine that block or run beside the cores.
const ENGINE_BLOCKING: &[(&str, &str)] = &[
    ("src/engine/background.rs", "the thread for blocking work"),
    ("src/engine/side.rs", "the thread for DNS"),
    ("src/engine/launch.rs", "starts the threads"),
    ("src/engine/pickup.rs", "reads the maildrop on the background thread"),
    ("src/engine/resolver/dns.rs", "reads the hosts file on the side thread"),
    ("src/engine/maillog.rs", "opens the log file at start"),
];

/// Test support that is not in a `tests` directory.
const TEST_FILES: &[&str] = &["/tests.rs", "/testing.rs"];

/// Programs whose output is for people.
const PRINTING: &[&str] =
    &["tools/", "bench/", "src/bin/", "src/demo", "src/explain.rs", "src/simulate.rs"];

/// Where this was written is nobody's business. In pieces, or this file would be one.
const MACHINE: &[[&str; 2]] = &[["/wo", "rk/"], ["/ro", "ot/"]];
