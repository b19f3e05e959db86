//! The configuration commands beside Postfix's own, byte by byte: standard output, standard error,
//! exit codes and the files they leave.
//!
//! Needs Debian's package of Postfix 3.7.11; skips with a line that says so where it is not there.
//! Warnings of postconf(1) are compared as a set: Postfix reads main.cf several times and walks
//! its tables in an order that changes from run to run.
//!
//! Differences that are meant, and not in the tables below:
//!
//! | what | why |
//! | --- | --- |
//! | `postmap -s texthash:...` is sorted | Postfix's order is that of a hash table |
//! | `postmap DIRECTORY` is fatal | Postfix makes an empty table of it |
//! | `postmap -q` and `-d` find a key whatever `-n` and `-N` say | Postfix only one of that end |
//! | a missing file of a pattern table's rule (-F) is passed over | Postfix tells it at open |
//! | `postconf -T` of what is known is fatal | this system has no TLS library |
//! | `postconf -F -e SERVICE/TYPE/command=` is fatal | Postfix crashes |
//! | a last line without its end is completed before something is appended | Postfix glues both |
//! | `postconf -P` shows each of two entries of one name by itself | Postfix shows all at each |
//! | `postmap -s` and `-d` of a `cdb:` do what they say | Postfix's library cannot |
//! | bytes of letters that are no UTF-8 are `?` in warnings | Postfix writes some as they are |
//! | the place of an error in a `pcre:` pattern | is that of the library's version |
//! | a key on the command line is UTF-8 | other bytes come by `-q -` |
//! | `postconf` keeps braces around words with blanks (-M, -F, -Me) | Postfix loses them |
//! | `{ -o name=value }` of master.cf is a setting | for its smtpd(8), not for its `postconf -P` |
//! | `postconf -Fh` has a blank before the first argument | Postfix loses it behind a long name |
//! | `charset` of `mysql:` and `expansion_limit` of `memcache:` are used | Postfix has neither |
//! | `sasl_...` of `ldap:` is unused | so it is here: `bind = sasl` is refused |
//! | what `-x` showed before a fatal error is shown | Postfix loses what is in its buffer |
//! | accounts are checked for root only | anybody else runs the system as himself |

mod broken;
mod odd;
mod postconf;
mod random;
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Cases done at a time.
const WORKERS: usize = 16;
/// How old the files are.
const AGE: Duration = Duration::from_secs(3600);
/// The version these tables were made with.
const VERSION: &str = "3.7.11";

const MAIN: &str = "# c\ncompatibility_level = 3.6\nmyhostname = mx.example.test\n\
    mydestination = $myhostname, localhost.$mydomain,\n    localhost\nmyown = custom $mydomain\n\
    relayhost =\nunused_parameter = foo\nsmtpd_banner =  $myhostname   ESMTP ${myown}\n\
    smtpd_restriction_classes = cls, cls2\ncls = permit\nusedm = $nope\nnosvc_time_limit = 6\n\
    virtual_maps = hash:/x\nmydomain = a.test\nmydomain = b.test\nmy_port = 587\n";
const MASTER: &str = "# c\nsmtp inet n - n - - smtpd -o myhostname=$usedm -o unk=$used\n  \
    -v -o { smtpd_banner = a b $nope }\n# in\n[::1]:2525 inet n - - - 1 smtpd -v -o a=b\n\
    relay unix - - n - - smtp\n  -o syslog_name=postfix/$service_name\nlocal unix - n n - - local\n\
    pl unix-dgram n - n 1000? 1 postlogd\n# before\ndrop unix - n n - - pipe\n \
    flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}\n\
    policy unix - n n - 0 spawn user=nobody argv=/usr/bin/policy-with-a-long-name -x -y ${z}\n# end\n";
const MESSAGE: &str = "Received: from x\n\tby y\nSubject: hello\nX : blank\nMIME-Version: 1.0\n\
    Content-Type: multipart/mixed; boundary=\"b1\"\n\nbody preamble\n--b1\nContent-Type: text/plain\n\
    X-Mime: 1\n\nbody one\nSubject: in body\n--b1\nContent-Type: message/rfc822\n\n\
    Subject: nested\n\nbody nested\n--b1\nnot a header\n--b1--\nbody epilogue\n";

/// Files beside main.cf and master.cf.
const FILES: &[(&str, &str)] = &[
    ("t1", "# c\nKey1 value one\nkey2 v2\n  cont\nkey1 dup\nkey5: colon\nlonely\n"),
    ("t2", "key2 second\nother o\n"),
    ("any", "/.*/ X\n"),
    ("hc", "/^Subject: (.*)/ WARN $1\n/^body/ BODY\n/^X-Mime/ REJECT mime\n"),
    ("fa", "file content\nline two\n"),
    ("fe", ""),
    (
        "cf1",
        "hosts = x\nnosuch = $a\nbind = yes\ndbname = ${x\n  y\nquery = z\nhosts = y\ndomain = d\n\
         user = u\n",
    ),
    (
        "old",
        "/abc/!/abcd/ X\n/(p)/i!!/q/ W $1\n/a/!/b/!/c/ X\n/(a)/!/(b)/ $2\n/a/!/b/z X\n/a/!\n/a/!x\n\
         !/a/!/b/ $0\n/./ $x $0 $y $\n!/z/ $1\n/(/\n\u{e9}a\n/a/\u{e9} x\n/last\\",
    ),
    ("net2", "a/33 x\n::/129 x\na::b/128 x\nif 1.0.0.0/8\nif 2.0.0.0/8\n1.2.3.4 x\n"),
    ("bad", " lead\u{e9}\n"),
    ("cf2", "  hosts = x\nkey_format = x\n"),
    ("cf3", "hosts = x\ngarbage\n"),
    ("tf", "a ./fa\nc fa, fa\nd ./nosuch\ne fe\nA fa\nq ,\n"),
    ("al", "root: alice, bob\n\"x y\": z\nno colon\n"),
    (
        "tpl",
        "failure_template = <<EOF\nCharset: utf-8\nFrom: X <y>\nSubject: s $myhostname\n\n\
        Body $myhostname ${mail_name} $$5 $delay_warning_time_hours\n\
        $maximal_queue_lifetime_days ${delay_warning_time_minutes}\nEOF\n",
    ),
    (
        "src",
        "  lead x\n# c\nA b\r\n  c\n#x\n\td\n\nEmpty\n\"q k\" v\nx:y: z\nstra\u{df}e s\nSTRASSE t\n\u{fb01} l\nend e",
    ),
    (
        "net",
        "1.2.3.4/31 a\n1.2.3.5/31 b\n1.2.3.4/x c\nx/24 d\n[::1] e\n[::1]/64 f\n[::1 g\n[::1]x h\n\
        !!9.9.9.9 i\n!\nif\nif 1.2.3.0/24 x\nendif\nendif y\nif!2.2.2.2\n8.8.8.8 j\nendif\n1.1.1.1\n\
        1.1.1.1/33 k\nif 3.0.0.0/8\n3.3.3.3 l\n",
    ),
    (
        "pat",
        "  /lead/ x\n/(a)/ $0\n/(b)(c)?/ [$1][$2]\n/(d)/ ${1?{x}:{y}}\n/(e)/ $4294967297\n/(f)/ $9\n\
        /g/i upper\n/h/q x\nif /z/\n/zi/ in\nendif x\nendif\n|p| pipe\n/x\nif x/y\n!/^[a-z.]*$/ other$$\n!/k/ $1\n/l/\n",
    ),
    ("bad1", "failure_template = <<EOF\nx $nope\nEOF\n"),
    ("bad2", "failure_template = <<EOF\nx ${\nEOF\n"),
    ("bad3", "failure_template = <<EOF\nBogus: x\n\nb\nEOF\n"),
    ("bad4", "# c\nabc\u{e9}\nfailure_template = <<EOF\n"),
    ("bad5", "delay_template = <<EOF\nb\u{e9}\nEOF\nverify_template = <<EOF\nFrom:\n\nb\nEOF\n"),
    ("bad6", "delay_template = <<EOF\nFrom : x\nSubject:  y \n\n\nb\nEOF\n"),
    ("bad7", "delay_template = <<EOF\nFoo: \u{e9}\n\nb\nEOF\nx = y\n"),
];

/// One command: its words after `-c .`, and its standard input.
type Step<'a> = (&'a str, &'a [&'a str], &'a str);

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    out: String,
    errors: Vec<String>,
}

/// Whether what the tables were made with is here.
fn installed() -> bool {
    let version = Command::new("/usr/sbin/postconf").args(["-dh", "mail_version"]).output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let found = version.unwrap_or_else(|error| error.to_string());
    if found != VERSION {
        println!("SKIPPED: Postfix {VERSION} is not installed ({found}), nothing to compare with");
    }
    found == VERSION
}

fn ours(program: &str) -> &'static str {
    match program {
        "postmap" => env!("CARGO_BIN_EXE_postmap"),
        "postalias" => env!("CARGO_BIN_EXE_postalias"),
        "postconf" => env!("CARGO_BIN_EXE_postconf"),
        "postqueue" => env!("CARGO_BIN_EXE_postqueue"),
        "postsuper" => env!("CARGO_BIN_EXE_postsuper"),
        "postcat" => env!("CARGO_BIN_EXE_postcat"),
        "sendmail" => env!("CARGO_BIN_EXE_sendmail"),
        _ => panic!("{program} has no place in these tables"),
    }
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in FILES.iter().chain(files) {
        let path = directory.path().join(name);
        let text = text.replace("DIR", &directory.path().display().to_string());
        fs::write(&path, text).expect(name);
        // Postfix waits until a file that has just been written is a while old.
        let file = fs::File::options().write(true).open(&path).expect(name);
        file.set_modified(SystemTime::now() - AGE).expect(name);
    }
    directory
}

fn run(path: &Path, directory: &Path, (program, words, input): Step<'_>) -> Seen {
    let option = if program == "sendmail" { "-C" } else { "-c" };
    let here = directory.display().to_string();
    // postsuper(1) wants an absolute path, which is put out of what it says.
    let absolute = program == "postsuper";
    let mut child = Command::new(path)
        .arg0(program)
        .args([option, if absolute { &here } else { "." }])
        .args(words)
        .current_dir(directory)
        .env_remove("MAIL_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(program);
    // A command that ends without reading its input closes the pipe.
    let _closed = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect(program);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&here, ".");
    let errors = text(&output.stderr);
    let errors: Vec<String> = errors.lines().map(str::to_owned).collect();
    let errors = match program {
        "postconf" => errors.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
        _ => errors,
    };
    let own = |line: &&str| !line.starts_with("process_id = ");
    let mut lines: Vec<String> =
        text(&output.stdout).lines().filter(own).map(str::to_owned).collect();
    // The order of a hash file is nobody's promise; a time in it is a time.
    if program != "postconf" && words.iter().any(|word| word.starts_with("-s") || *word == "-Fs") {
        lines.retain(|line| !line.starts_with("YP_LAST_MODIFIED"));
        lines.sort();
    }
    Seen { code: output.status.code(), out: lines.join("\n"), errors }
}

/// Both do `steps` in directories of their own; what is not the same goes to `differences`.
fn compare(main: &str, steps: &[Step<'_>], differences: &mut Vec<String>) {
    compare_with(main, MASTER, steps, differences);
}

/// The same with a master.cf.
fn compare_with(main: &str, master: &str, steps: &[Step<'_>], differences: &mut Vec<String>) {
    compare_files(&[("main.cf", main), ("master.cf", master)], steps, differences);
}

/// The same with files of any name.
fn compare_files(files: &[(&str, &str)], steps: &[Step<'_>], differences: &mut Vec<String>) {
    let places = [directory(files), directory(files)];
    for step in steps {
        let theirs = PathBuf::from("/usr/sbin").join(step.0);
        let theirs = run(&theirs, places[0].path(), *step);
        let ours = run(Path::new(ours(step.0)), places[1].path(), *step);
        if ours != theirs {
            let told = format!("{step:?} with {files:?}\n ours: {ours:?}\ntheirs: {theirs:?}");
            differences.push(told);
        }
        for file in ["main.cf", "master.cf"] {
            let text = |at: usize| {
                let (path, name) = (places[at].path(), places[at].path().display().to_string());
                fs::read_to_string(path.join(file)).expect(file).replace(&name, "DIR")
            };
            if text(1) != text(0) {
                differences.push(format!("{file} after {step:?}\n{}\n{}", text(1), text(0)));
            }
        }
    }
}

/// Does all cases, many at a time (a fatal error takes Postfix a second); fails with what differs.
fn none_differs<T: Sync>(cases: &[T], one: impl Fn(&T, &mut Vec<String>) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            one(case, &mut found);
        }
        found
    };
    let differences: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    assert!(differences.is_empty(), "{}: {}", differences.len(), differences.join("\n\n"));
}

fn words(text: &str) -> Vec<&str> {
    let text = text.trim_start_matches('@');
    if text.is_empty() { Vec::new() } else { text.split('|').collect() }
}
