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
//! | a missing file of a pattern table's rule (-F) is passed over | Postfix tells it at open |
//! | `postconf -T` of what is known is fatal | this system has no TLS library |
//! | `postconf -F -e SERVICE/TYPE/command=` is fatal | Postfix crashes |
//! | a last line without its end is completed before something is appended | Postfix glues both |
//! | `postconf -P` shows each of two entries of one name by itself | Postfix shows all at each |
//! | `postmap -s` and `-d` of a `cdb:` do what they say | Postfix's library cannot |
//! | bytes of letters that are no UTF-8 are `?` in warnings | Postfix writes some as they are |
//! | the place of an error in a `pcre:` pattern | is that of the library's version |
//! | a key on the command line is UTF-8 | other bytes come by `-q -` |
//! | `postconf -Me` keeps braces around words with blanks | Postfix loses them |
//! | accounts are checked for root only | anybody else runs the system as himself |

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

fn directory(main: &str, master: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let files = FILES.iter().copied().chain([("main.cf", main), ("master.cf", master)]);
    for (name, text) in files {
        let path = directory.path().join(name);
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
    let places = [directory(main, MASTER), directory(main, MASTER)];
    for step in steps {
        let theirs = PathBuf::from("/usr/sbin").join(step.0);
        let theirs = run(&theirs, places[0].path(), *step);
        let ours = run(Path::new(ours(step.0)), places[1].path(), *step);
        if ours != theirs {
            let told = format!("{step:?} with {main:?}\n ours: {ours:?}\ntheirs: {theirs:?}");
            differences.push(told);
        }
        for file in ["main.cf", "master.cf"] {
            let text = |at: usize| fs::read_to_string(places[at].path().join(file)).expect(file);
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

/// Calls of postmap(1), and of postalias(1) after `@`, in fresh directories for each line: steps
/// are separated by ` ; `, words by `|`, and what follows ` < ` is standard input.
static TABLES: &[&str] = &[
    "t1 ; -s|t1 ; -q|KEY1|t1",
    "hash:t1 ; -q|nokey|hash:t1",
    "btree:t1 ; -s|btree:t1",
    "-w|t1 ; -s|t1",
    "-r|t1 ; -s|t1",
    "-f|t1 ; -s|t1 ; -fq|Key1|t1 ; -fq|key1|t1",
    "-n|t1 ; -q|key2|t1",
    "-N|t1 ; -s|t1 ; -q|key2|t1",
    "-o|t1 ; -p|t1 ; -s|t1",
    "-u|t1 ; -U|t1 ; -s|t1",
    "t1|t2 ; -q|other|t1|t2",
    "t1 ; -q|-|t1 < key2\nnone\nKEY1\n",
    "t1 ; -i|t1 < new v\nkey1 x\n ; -s|t1",
    "t1 ; -ir|t1 < key1 x\n ; -s|t1",
    "t1 ; -iw|t1 < key1 x\n ; -s|t1",
    "t1 ; -d|KEY2|t1 ; -s|t1",
    "t1 ; -d|-|t1 < key2\nzz\n ; -s|t1",
    "t1 ; -d|zz|t1",
    "-F|tf ; -s|tf ; -Fq|c|tf ; -Fq|e|tf",
    "tf ; -Fq|a|tf",
    "-Fq|x|static:fa ; -Fq|x|static:zz",
    "-Fq|x|inline:{x=fa} ; -Fq|x|inline:{x=z}",
    "-h|-q|-|regexp:any < MESSAGE",
    "-b|-q|-|regexp:any < MESSAGE",
    "-hb|-q|-|regexp:any < MESSAGE",
    "-hm|-q|-|regexp:any < MESSAGE",
    "-bm|-q|-|regexp:any < MESSAGE",
    "-hbm|-q|-|regexp:hc < MESSAGE",
    "-hb|-q|-|regexp:any < Subject: a\nbad header\nX: y\n\nbody\n",
    "-h|-q|-|regexp:any < no header\n",
    "-m|-q|-|regexp:any < a\n",
    "-m|-q|x|regexp:any ; -b|regexp:any ; -q||static:x ; -q|x ; ",
    "-q|x|-s|t1 ; -d|x|-q|y|t1 ; nosuch:t1 ; -q|x|nosuch:t1",
    "static:t1 ; -s|static:t1 ; -d|x|static:t1 ; -i|regexp:any",
    "missing ; -q|x|missing ; -d|x|missing ; -s|missing",
    "hash: ; -q|x|:t1 ; -Z ; -q|x|fail:y ; -s|fail:y",
    "@al ; @-q|ROOT|al ; @-s|al ; @-q|-|al < root\nx y\nnone\n",
    "@al ; @-i|al < new: v\nroot: d\n ; @-s|al",
    "@al ; @-ir|al < root: d\n ; @-q|root|al",
    "@al ; @-d|Root|al ; @-q|root|al",
    "@-f|al ; @-N|al ; @-n|al ; @-o|al ; @-p|al ; @-u|al ; @-w|missing",
    "src ; -s|src ; -q|\"q k\"|src ; -q|strasse|src ; -q|fi|src",
    "-r|src ; -s|src ; -q|STRA\u{df}E|src",
    "-w|src ; -s|src ; -f|src ; -s|src",
    "-u|src ; -su|src ; -q|strasse|src",
    "lmdb:src ; -s|lmdb:src ; lmdb:t1",
    "cdb:src ; -q|a|cdb:src ; cdb:t1 ; -q|key1|cdb:t1",
    "-s|texthash:t1 ; -q|KEY1|texthash:t1",
    "@src ; @-s|src",
    "-q|1.2.3.4|cidr:net ; -q|1.2.3.5|cidr:net ; -q|::1|cidr:net ; -q|::2|cidr:net ; -q|9.9.9.9|cidr:net",
    "-q|8.8.8.8|cidr:net ; -q|2.2.2.2|cidr:net ; -q|3.3.3.3|cidr:net ; -q|[::1]|cidr:net",
    "-q|abc|regexp:pat ; -q|bc|regexp:pat ; -q|e|regexp:pat ; -q|G|regexp:pat ; -q|zi|regexp:pat ; -q|-|regexp:pat < P\nlead\nk1\nl\n\n1\n",
    "-q|abc|pcre:pat ; -q|bc|pcre:pat ; -q|e|pcre:pat ; -q|G|pcre:pat ; -q|zi|pcre:pat ; -q|-|pcre:pat < P\nlead\nk1\nl\n\n1\n",
    "-d|x|cidr:net ; -d|x|regexp:pat ; -d|x|pcre:pat ; -d|x|inline:{a=b} ; -d|x|texthash:t1 ; -d|x|unionmap:{static:a}",
    "-d|x|pipemap:{static:a} ; -d|x|randmap:{a} ; -d|x|unix:passwd.byname ; -d|x|fail:x ; -d|x|internal:x ; -d|x|environ:x",
    "-q|x|cidr:. ; -q|x|regexp:. ; -q|x|pcre:. ; -q|x|texthash:.",
    "-q|x|inline:{} ; -q|x|inline:{ } ; -q|x|inline:{ {} } ; -q|x|inline:{{a=b}c} ; -q|x|inline:{a\"=b} ; -q|x|inline:{a b=c}",
    "-s|inline:{{\"a b\"=c}} ; -s|inline:{=x} ; -q|x|inline:{x=} ; -q|x|inline:{{x=a,b}} ; -q|X|inline:{x={b}}",
    "-q|x|static:{x ; -q|x|static:{x}y ; -q|x|static:{ } ; -q|x|randmap:{} ; -q|x|randmap:{{a}b}",
    "-q|x|unionmap:{static:} ; -q|x|unionmap:{:x} ; -q|x|unionmap:{{static:x}} ; -q|x|unionmap:{} ; -q|x|pipemap:{static:a",
    "-q|x|regexp:{/x/ y} ; -q|x|regexp:{{/x/ y} ; -q|x|pcre:{{/x/ y}z} ; -q|x|cidr:{{::1 x}} y ; -q|x|regexp:{} ; -q|x|pcre:{{/x/ y}}",
    "-s|nis:x ; -d|x|nis:x ; -s|proxy:t1 ; proxy:hash:t1 ; -i|proxy:hash:t1",
    "-q|-|static:x < \u{e9}\n ; -b|-q|-|regexp:pat < a\n\nbc\n",
    "@t1 ; @-b|al ; @-U|al ; @-d|x|static:y ; @regexp:al ; @",
];

fn words(text: &str) -> Vec<&str> {
    let text = text.trim_start_matches('@');
    if text.is_empty() { Vec::new() } else { text.split('|').collect() }
}

#[test]
fn tables_are_built_and_asked_as_by_postfix() {
    if installed() {
        let main = "compatibility_level = 3.6\nmyhostname = a.test\n";
        none_differs(TABLES, |line, found| {
            let texts: Vec<(&str, &str)> = line
                .split(" ; ")
                .map(|step| step.split_once(" < ").unwrap_or((step, "")))
                .collect();
            let words: Vec<Vec<&str>> = texts.iter().map(|(step, _)| words(step)).collect();
            let mut steps: Vec<Step<'_>> = Vec::new();
            for ((text, input), words) in texts.iter().zip(&words) {
                let program = if text.starts_with('@') { "postalias" } else { "postmap" };
                let input = if *input == "MESSAGE" { MESSAGE } else { *input };
                steps.push((program, words, input));
            }
            compare(main, &steps, found);
        });
    }
}

/// postconf(1), one call a line, words separated by `|`.
static POSTCONF: &[&str] = &[
    "",
    "-n",
    "-d",
    "-x",
    "-nf",
    "-xn",
    "-hn",
    "-H",
    "-M",
    "-Mf",
    "-Mx",
    "-F",
    "-Fx",
    "-Ff",
    "-FH|smtp",
    "-Fh|smtp",
    "-P",
    "-Px",
    "-PH",
    "-Ph",
    "-Pf",
    "-C|user",
    "-C|service",
    "-C|all|-n",
    "-C|user|relayhost",
    "-C|builtin|myown",
    "-M|/x",
    "-F|a//b",
    "-P|/",
    "-C|foo",
    "relayhost|nosuch|myown",
    "-p|relayhost",
    "-h|relayhost|myown",
    "-d|virtual_maps",
    "-o|relayhost=x|relayhost",
    "-o|x=y|-n",
    "-o|smtpd_banner=$zz|-x|smtpd_banner",
    "-o|a",
    "-o|a=b|-M",
    "-o|a=b|-e|c=d",
    "-M|smtp",
    "-M|smtp/inet",
    "-M|*/unix",
    "-M|nosuch",
    "-M|smtp/inet/x",
    "-F|smtp/inet/command",
    "-F|smtp/inet/nosuch",
    "-F|*/*/chroot",
    "-P|smtp/inet/unk",
    "-P|*/*/syslog_name",
    "-P|smtp/inet/zz",
    "-e|a=b",
    "a=b",
    "-e|myown = x|mydomain=z",
    "relayhost|x=y",
    "x=y|relayhost",
    "-X|",
    "-#|",
    "-X|myown ",
    "-#| myown",
    "-e|x=\u{e9}",
    "-e|x=a\nb",
    "-M|-e|a/unix=a unix - - - - - b\n -o c=d",
    "-P|-e|smtp/inet/a=b\nc",
    "-n|myown|relayhost",
    "-d|myown",
    "-C|user,service",
    "-C|",
    "-M|-e|a/unix=a unix - - - - - b -vo x=y -D",
    "-M|-e|a/unix=a unix - - - - - b -o {x}",
    "-M|-e|a/unix=a unix - - - - - b -o {x",
    "-M|-e|a/unix=a unix - - - - - b -o {} -o {=x}",
    "-M|-e|a/unix=a unix - - - - - b z -o x=y",
    "-x|-n|myown",
    "-o|n=$myown|-o|myown=q|-xh|n",
    "-e|nosuch",
    "-e",
    "-e|a=b|a=c",
    "-e| a = b ",
    "-e|bad name=x",
    "-e|#a=b",
    "-e|=b",
    "-X|myown|mydestination|nosuch",
    "-X",
    "-X|a=b",
    "-#|myown|mydestination",
    "-#|nosuch",
    "-M|-e|new/unix=new unix - - n - - smtp -o a=b",
    "-M|smtp/inet=smtp inet n - y - 10 smtpd -o x=y",
    "-M|local/unix=local unix - n n - - local -o { a = b c } -v",
    "-M|-e|new/unix=other unix - - n - - x",
    "-M|*/unix=new unix - - n - - smtp",
    "-M|-e|new/unix=new unix - - n",
    "-M|-e|new/unix",
    "-M|-e|new=new unix - - n - - smtp",
    "-M|-e|a/unix/c=new unix - - n - - smtp",
    "-M|-e",
    "-M|-e|=x",
    "-M|-e|new/foo=new foo - - n - - smtp",
    "-M|-e|new/unix=new unix - - n - x smtp",
    "-M|smtp/inet=a inet - - - - - b|smtp/inet=c inet - - - - - d",
    "-MX|smtp/inet",
    "-MX|smtp",
    "-MX|*/unix",
    "-MX|nosuch/unix|smtp/inet",
    "-MX",
    "-M#|drop/unix|smtp/inet",
    "-M#|*/inet",
    "-M#|nosuch/unix",
    "-F|smtp/inet/chroot=y",
    "-F|smtp/inet/command=smtpd -o a=b -o { c = d e }",
    "-F|*/*/chroot=n",
    "-F|smtp/inet/chroot=x",
    "-F|smtp/inet/nosuch=x",
    "-F|smtp/inet=x",
    "-F|nosuch/unix/chroot=y",
    "-F|smtp/inet/wakeup=5?|relay/unix/private=y",
    "-F|smtp/inet/service=foo",
    "-F|smtp/inet/service=a b",
    "-F|smtp/inet/type=foo",
    "-F|smtp/inet/private=",
    "-F|-e|smtp/inet/chroot",
    "-FX|smtp/inet/chroot",
    "-F#|smtp/inet/chroot",
    "-P|smtp/inet/unk=new",
    "-P|smtp/inet/brand=new",
    "-P|smtp/inet/brand=new value",
    "-P|*/unix/brand=x",
    "-P|drop/unix/a=b",
    "-P|nosuch/unix/a=b",
    "-P|smtp/inet=b",
    "-P|smtp/inet/a=",
    "-P|-e|smtp/inet/a",
    "-P|smtp/*/a=b",
    "-PX|smtp/inet/unk",
    "-PX|smtp/inet/nosuch",
    "-PX|*/*/syslog_name",
    "-PX|*/*/*",
    "-PX|smtp/inet",
    "-PX|nosuch/inet/x",
    "-P#|smtp/inet/unk",
    "-PX|smtp/inet/unk|smtp/inet/smtpd_banner|smtp/inet/myhostname",
    "-a",
    "-A",
    "-l",
    "-t",
    "-b",
    "-t|tpl",
    "-b|tpl",
    "-b|nosuch",
    "-t|nosuch",
    "-b|bad1",
    "-b|bad2",
    "-b|bad3",
    "-b|a|b",
    "-bt",
    "-tx",
    "-bn",
    "-t|-d",
    "-T|foo",
    "-T|x|-e",
    "-T|x|-M",
    "-Z",
    "-nd",
    "-eX|a",
    "-hH|relayhost",
    "-MF",
    "-ea|a=b",
    "-ml",
    "-nM",
    "-dM",
    "-xe|a=b",
    "-fe|a=b",
    "-d|a=b",
    "-n|a=b",
    "-aX|x",
    "-m#|x",
];

#[test]
fn postconf_is_that_of_postfix() {
    if installed() {
        none_differs(POSTCONF, |line, found| {
            compare(MAIN, &[("postconf", &words(line), "")], found);
        });
    }
}

/// Lines of main.cf that no program can work with, or warns about; in root's eyes only after `!`.
static BROKEN: &[&str] = &[
    "message_size_limit=abc",
    "message_size_limit=-5",
    "message_size_limit=1e3",
    "line_length_limit=-1",
    "delay_logging_resolution_limit=7",
    "in_flow_delay=1h30m",
    "in_flow_delay=5x",
    "in_flow_delay=9sx",
    "ipc_timeout=0",
    "ipc_timeout=9999999d",
    "soft_bounce=maybe",
    "biff=maybe",
    "mail_name=",
    "mail_name=${",
    "mail_name=${x y}",
    "myhostname=bad_name!",
    "myhostname=a..b",
    "myhostname=-a",
    "myhostname=127.0.0.1",
    "myhostname=a.",
    "myhostname=.",
    "myhostname=$myhostname",
    "mydomain=b!",
    "compatibility_level=x",
    "compatibility_level=",
    "compatibility_level=3.1024",
    "inet_protocols=ipv9",
    "inet_protocols=ipv4,IPv6",
    "inet_interfaces=nohost.invalid",
    "inet_interfaces=all, 127.0.0.1",
    "inet_interfaces=192.0.2.1",
    "inet_interfaces=*",
    "syslog_facility=local9",
    "relayhost=$myhostname",
    "default_verp_delimiters=ab",
    "default_verp_delimiters=abc",
    "verp_delimiter_filter=+",
    "maillog_file=/srv/x",
    "known_tcp_ports=abc, a=b, =2, a=, x=y=25, 25=smtp",
    "import_environment==x",
    "import_environment={A",
    "mynetworks_style=x",
    "mynetworks=${",
    "mydestination=$(x",
    "foo",
    "=x",
    "default_database_type=nosuch",
    "!mail_owner=root",
    "!mail_owner=nosuchuser",
    "!mail_owner=nobody",
    "!default_privs=root",
    "!setgid_group=root",
    "!setgid_group=postfix",
    "!setgid_group=nosuchgroup",
    "mail_name=\nmyhostname=a!",
    "inet_protocols=x\nmyhostname=a!",
    "ipc_ttl=x\nmessage_size_limit=x",
];

/// Lines of main.cf that postconf(1) has something to say about.
static ODD: &[&str] = &[
    "relayhost=${x",
    "relayhost=${{1}==?{t}:{f}}",
    "relayhost=${{a} <> {b} ? {c}}",
    "relayhost=$relayhost",
    "own=${x",
    "smtpd_restriction_classes=a1 $a2\na2=a3,a4\na3=permit\na4=$a5\na5=x\na6=y",
    "alias_maps=mysql:$m\nm=m1\nm1_hosts=x\nown=mysql:m2\nm2_hosts=y",
    "virtual_alias_maps=pipemap:{mysql:a1,ldap:a2} proxy:unionmap:{pgsql:a3}\na1_hosts=x\na2_bind=y\n\
     a3_user=z\na3_nosuch=w",
    "drop_time_limit=1\npolicy_time_limit=2\npolicy_destination_rate_delay=3\n\
     local_destination_rate_delay=4\nrelay_destination_rate_delay=5\nsmtp_destination_rate_delay=6",
    "tabs=a\tb\n c",
    "u=\u{e9}",
    "a=b\na=c",
    "  lead=x\nb=c",
    "lonely",
    "a b=c",
];

#[test]
fn postconf_reads_main_cf_as_postfix_does() {
    if installed() {
        none_differs(ODD, |lines, found| {
            let main = format!("{lines}\ncompatibility_level = 3.6\nmyhostname = a.test\n");
            let calls: [&[&str]; 4] = [&["-n"], &["-nx"], &["-M"], &["-P"]];
            for words in calls {
                compare(&main, &[("postconf", words, "")], found);
            }
        });
    }
}

#[test]
fn broken_parameters_end_every_program_as_in_postfix() {
    if !installed() {
        return;
    }
    let root = rustix::process::geteuid().is_root();
    none_differs(BROKEN, |line, found| {
        if line.starts_with('!') && !root {
            return;
        }
        let line = line.trim_start_matches('!');
        let name = line.split('=').next().unwrap_or_default();
        let mut main = format!("{line}\n");
        for (other, value) in [("compatibility_level", "3.6"), ("myhostname", "a.test")] {
            if name != other && !line.contains(&format!("\n{other}")) {
                main.push_str(&format!("{other} = {value}\n"));
            }
        }
        compare(&main, &[("postmap", &["-q", "x", "static:y"], "")], found);
    });
}

#[test]
fn each_program_has_its_own_exit_code_for_a_broken_main_cf() {
    if !installed() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: set-gid commands take -c from root only");
        return;
    }
    let broken = [
        "myhostname = a!\n",
        "myhostname = a.test\nmail_name = ${\n",
        "myhostname = a.test\nimport_environment = =\nmaillog_file = /srv/x\n",
    ];
    none_differs(&broken, |broken, found| {
        let main = format!("compatibility_level = 3.6\n{broken}");
        let all: [Step<'_>; 5] = [
            ("postqueue", &["-p"], ""),
            ("postsuper", &["-s"], ""),
            ("postcat", &["-q", "x"], ""),
            ("sendmail", &["-q"], ""),
            ("postalias", &["-q", "x", "static:y"], ""),
        ];
        compare(&main, &all, found);
    });
}
