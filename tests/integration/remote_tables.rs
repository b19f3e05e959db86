//! Tables behind real servers, asked through our postmap, and through Postfix's where it is
//! installed: both must say the same.
//!
//! Each test starts its server in a directory of its own, as `nobody` where this is root, asks it,
//! stops it, and starts it again. What is not installed is skipped with a printed reason.

mod secure;

use crate::support::process::end;
use crate::support::system::{System, is_root};
use crate::support::{PATIENCE, skip, wait, within};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The account of `nobody` on Debian.
const NOBODY: u32 = 65534;
/// What the commands of Postfix are called with.
const POSTMAP: &str = "/usr/sbin/postmap";

/// A program, if it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = ["/usr/sbin", "/usr/bin"].map(PathBuf::from).into();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.extend(std::env::split_paths(&path));
    places.into_iter().map(|place| place.join(name)).find(|path| path.exists())
}

/// A server's directory, and what asks it.
struct Stage {
    system: System,
    /// Where the server keeps everything.
    dir: PathBuf,
    /// Postfix's configuration, if Postfix is there and has this type.
    postfix: Option<PathBuf>,
    kind: &'static str,
    cf: String,
}

impl Stage {
    fn new(kind: &'static str) -> Stage {
        let system = System::new("");
        let dir = system.path("server");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
        if is_root() {
            chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let postfix = postfix_configuration(&system, kind);
        let cf = system.path("table.cf").to_str().unwrap().to_owned();
        Stage { system, dir, postfix, kind, cf }
    }

    /// A program as the server's account, in its directory, with what it says in its log.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        let log = log.unwrap();
        command.current_dir(&self.dir).env("HOME", &self.dir).stdin(Stdio::null());
        command.stderr(log.try_clone().unwrap()).stdout(log);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Runs a program to its end, with `input`.
    fn run(&self, command: &mut Command, input: &str) {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{command:?}: {status}: {}", self.log());
    }

    /// Writes the .cf file.
    fn configure(&self, text: &str) {
        fs::write(&self.cf, text).unwrap();
    }

    fn table(&self) -> String {
        format!("{}:{}", self.kind, self.cf)
    }

    fn ask(&self, key: &str) -> Output {
        self.system.command("postmap").args(["-q", key, &self.table()]).output().unwrap()
    }

    /// What Postfix's own command says, where there is one.
    fn postfix_says(&self, key: &str) -> Option<Output> {
        let mut command = Command::new(POSTMAP);
        let conf = self.postfix.as_ref()?;
        Some(command.arg("-c").arg(conf).args(["-q", key, &self.table()]).output().unwrap())
    }

    /// Each key has its value, or none, as Postfix has it too.
    fn expect(&self, expected: &[(&str, Option<&str>)]) {
        for (key, value) in expected {
            let ours = self.ask(key);
            let told = String::from_utf8_lossy(&ours.stderr);
            let found = value.map_or(String::new(), |value| format!("{value}\n"));
            let code = i32::from(value.is_none());
            assert_eq!(String::from_utf8_lossy(&ours.stdout), found, "{key}: {told}{}", self.log());
            assert_eq!((ours.status.code(), told.as_ref()), (Some(code), ""), "{key}");
            if let Some(theirs) = self.postfix_says(key) {
                let told = String::from_utf8_lossy(&theirs.stderr);
                assert_eq!(theirs.stdout, ours.stdout, "Postfix, {key}: {told}");
                assert_eq!(theirs.status.code(), ours.status.code(), "Postfix, {key}: {told}");
            }
        }
    }

    /// Nobody can tell now: the warning, then what postmap ends with.
    fn expect_failure(&self, warning: &str) {
        let ours = self.ask("a@b.c");
        let told = String::from_utf8_lossy(&ours.stderr);
        assert_eq!((ours.status.code(), ours.stdout.len()), (Some(1), 0), "{told}");
        assert!(told.contains(&format!("postmap: warning: {warning}")), "{told}");
        let end = format!("postmap: fatal: table {}: query error", self.table());
        assert!(told.contains(&end), "{told}");
        if let Some(theirs) = self.postfix_says("a@b.c") {
            let told = String::from_utf8_lossy(&theirs.stderr);
            assert_eq!(theirs.status.code(), Some(1), "{told}");
            assert!(told.contains(&format!("warning: {warning}")) && told.contains(&end), "{told}");
        }
    }
}

/// Postfix's configuration, if its command can be asked for tables of `kind`.
fn postfix_configuration(system: &System, kind: &str) -> Option<PathBuf> {
    let types = Command::new(POSTMAP.replace("postmap", "postconf")).arg("-m").output().ok()?;
    if !String::from_utf8_lossy(&types.stdout).lines().any(|line| line == kind) {
        if kind != "redis" {
            skip("Postfix's answers", &format!("its postmap has no {kind}"));
        }
        return None;
    }
    let conf = system.path("postfix");
    fs::create_dir(&conf).unwrap();
    fs::write(conf.join("main.cf"), "compatibility_level = 3.6\n").unwrap();
    fs::copy("/etc/postfix/dynamicmaps.cf", conf.join("dynamicmaps.cf")).ok()?;
    Some(conf)
}

/// A server that runs; ends with this.
struct Daemon(Child, Signal);

impl Daemon {
    /// Starts it and waits until `ready`.
    fn start(stage: &Stage, command: &mut Command, ready: impl Fn() -> bool) -> Daemon {
        // PostgreSQL waits for its clients unless it is interrupted.
        let stop = if stage.kind == "pgsql" { Signal::INT } else { Signal::TERM };
        let mut daemon = Daemon(command.spawn().unwrap(), stop);
        wait("the server", || {
            let ended = daemon.0.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?}: {ended:?}: {}", stage.log());
            ready()
        });
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gently, so that its children go with it.
        let _gone = kill_process(Pid::from_child(&self.0), self.1);
        let ended = within(PATIENCE, || self.0.try_wait().is_ok_and(|status| status.is_some()));
        if !ended {
            end(self.0.id());
            let _status = self.0.wait();
        }
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// `postmap -q -` that runs on while its server goes and comes.
struct Asking {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Asking {
    fn new(stage: &Stage) -> Asking {
        let mut command = stage.system.command("postmap");
        command.args(["-q", "-", &stage.table()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Asking { child, answers }
    }

    fn ask(&mut self, key: &str) -> String {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(format!("{key}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// All a server must do: answer, be gone, be back.
fn goes_and_comes(
    stage: &Stage,
    start: impl Fn() -> Daemon,
    expected: &[(&str, Option<&str>)],
    warning: &str,
) {
    let first = start();
    stage.expect(expected);
    let (key, value) = (expected[0].0, expected[0].1.unwrap());
    let mut asking = Asking::new(stage);
    assert_eq!(asking.ask(key), format!("{key}\t{value}\n"));
    drop(first);
    stage.expect_failure(warning);
    let _second = start();
    stage.expect(&expected[..1]);
    assert_eq!(asking.ask(key), format!("{key}\t{value}\n"));
    asking.end();
}

const ROWS: &str = "create table t (k varchar(99), v varchar(99), w varchar(99));\n\
    insert into t values ('a@b.c', 'x', 'y'), ('a@b.c', 'x2', 'y2'), ('o''brien@x', 'ob@z', 'q'),\n\
    ('multi@x', 'm,n', 'm2'), ('-- @x', 'comment', 'c'), ('semi;colon@x', 'semi', 's');\n";

/// The answers to `select v, w`; a table of a type that has one column leaves out the second.
const ANSWERS: [(&str, Option<&str>); 8] = [
    ("a@b.c", Some("x,y,x2,y2")),
    ("o'brien@x", Some("ob@z,q")),
    ("multi@x", Some("m,n,m2")),
    ("-- @x", Some("comment,c")),
    ("semi;colon@x", Some("semi,s")),
    ("none", None),
    ("' or '1'='1", None),
    ("\\' or 1=1 -- ", None),
];

#[test]
fn pgsql() {
    let (Some(initdb), Some(postgres), Some(psql)) =
        (installed("initdb"), installed("postgres"), installed("psql"))
    else {
        return skip("pgsql", "no PostgreSQL");
    };
    let stage = Stage::new("pgsql");
    let port = stage.system.port;
    let mut init = stage.command(&initdb);
    stage.run(init.args(["-D", "data", "-A", "trust", "-U", "u", "-E", "UTF8", "-N"]), "");
    let client = || {
        let mut client = stage.command(&psql);
        client.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "u", "-d", "postgres"]);
        client.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        client
    };
    let start = || {
        let mut command = stage.command(&postgres);
        command.args(["-D", "data", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        command.args(["-p", &port.to_string()]).arg("-k").arg(&stage.dir);
        let answers = || client().args(["-c", "select 1"]).status().unwrap().success();
        Daemon::start(&stage, &mut command, answers)
    };
    let filling = start();
    stage.run(&mut client(), ROWS);
    // Postfix has no answer for a backslash in such strings, and lets it end them.
    let escape = "query = select 1 where E'%s' = 'a\\b' or E'%s' = 'a''b'";
    let rest = "user = u\ndbname = postgres\n";
    stage.configure(&format!("hosts = 127.0.0.1:{port}\n{rest}{escape}\n"));
    for (key, code) in [("a\\b", 0), ("a'b", 0), ("\\' or 1=1 -- ", 1)] {
        assert_eq!(stage.ask(key).status.code(), Some(code), "{key}");
    }
    drop(filling);
    let query = "query = select v, w from t where k = '%s'";
    let text = format!("hosts = 127.0.0.1:{port}\nuser = u\ndbname = postgres\n{query}\n");
    stage.configure(&text);
    let at = format!("\"127.0.0.1\", port {port}");
    let warning = format!(
        "connect to pgsql server 127.0.0.1:{port}: connection to server at {at} failed: \
         Connection refused"
    );
    goes_and_comes(&stage, start, &ANSWERS, &warning);
}

#[test]
fn mysql() {
    let (Some(install), Some(server), Some(client)) =
        (installed("mariadb-install-db"), installed("mariadbd"), installed("mariadb"))
    else {
        return skip("mysql", "no MariaDB");
    };
    let stage = Stage::new("mysql");
    let (data, socket) = (stage.dir.join("data"), stage.dir.join("socket"));
    let port = stage.system.port;
    let mut init = stage.command(&install);
    init.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    stage.run(init.args(["--auth-root-authentication-method=normal", "--skip-test-db"]), "");
    let start = |stage: &Stage| {
        let mut command = stage.command(&server);
        command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        command.arg(format!("--socket={}", socket.display())).arg(format!("--port={port}"));
        command.arg("--bind-address=127.0.0.1").arg("--innodb-flush-log-at-trx-commit=0");
        Daemon::start(stage, &mut command, || UnixStream::connect(&socket).is_ok() && listens(port))
    };
    let filling = start(&stage);
    let sql = format!(
        "create database d character set utf8mb4; use d; {ROWS}\
         insert into t values ('j\u{f6}rg@x', 'utf', 'j\u{f6}rg');\n\
         create procedure both_() begin select 1; select 2; end\n"
    );
    let sql = sql.replace("create procedure both_()", "delimiter //\ncreate procedure both_()");
    let accounts = "//\ndelimiter ;\ngrant all on d.* to u@localhost identified by 'p w';\n\
        grant all on d.* to u@'127.0.0.1' identified by 'p w';\n";
    let mut fill = stage.command(&client);
    fill.args(["--no-defaults", "-u", "root", "--default-character-set=utf8mb4"]);
    stage.run(fill.arg(format!("--socket={}", socket.display())), &(sql + accounts));
    let rest = "user = u\npassword = p w\ndbname = d\n";
    let query = "query = select v, w from t where k = '%s'";
    stage.configure(&format!("hosts = unix:{}\n{rest}{query}\n", socket.display()));
    stage.expect(&ANSWERS[..3]);
    stage.configure(&format!("hosts = 127.0.0.1:{port}\n{rest}query = call both_()\n"));
    let several = "query failed: multiple result sets returning data are not supported";
    stage.expect_failure(&format!("{}: {several}", stage.table()));
    stage.configure(&format!("hosts = 127.0.0.1:{port}\n{rest}{query}; select 2\n"));
    let syntax = "query failed: You have an error in your SQL syntax";
    stage.expect_failure(&format!("{}: {syntax}", stage.table()));
    drop(filling);
    stage.configure(&format!("hosts = 127.0.0.1:{port}\n{rest}{query}\n"));
    let warning = format!("connect to mysql server 127.0.0.1:{port}: Can't connect to");
    goes_and_comes(&stage, || start(&stage), &ANSWERS, &warning);
}

#[test]
fn sqlite() {
    let Some(sqlite) = installed("sqlite3") else { return skip("sqlite", "no sqlite3") };
    let mut stage = Stage::new("sqlite");
    let path = stage.dir.join("db");
    stage.run(stage.command(&sqlite).arg("db"), ROWS);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let query = "query = select v from t where k = '%s'";
    stage.configure(&format!("dbpath = {}\n{query}\nresult_format = <%s>\n", path.display()));
    stage.expect(&[("a@b.c", Some("<x>,<x2>")), ("o'brien@x", Some("<ob@z>")), ("none", None)]);
    stage.expect(&[("' or '1'='1", None), ("semi;colon@x", Some("<semi>"))]);
    fs::rename(&path, stage.dir.join("away")).unwrap();
    let ours = stage.ask("a@b.c");
    let told = String::from_utf8_lossy(&ours.stderr);
    assert_eq!(ours.status.code(), Some(1), "{told}");
    assert!(told.contains("unable to open database file"), "{told}");
    fs::rename(stage.dir.join("away"), &path).unwrap();
    stage.expect(&[("a@b.c", Some("<x>,<x2>"))]);
    // The oldest form: the parameters are main.cf's, under the table's name.
    let lines = format!("at = {}\nours_dbpath = $at\nours_{query}\n", path.display());
    for conf in ["conf", "postfix"].map(|name| stage.system.path(name).join("main.cf")) {
        if let Ok(mut file) = fs::OpenOptions::new().append(true).open(conf) {
            file.write_all(lines.as_bytes()).unwrap();
        }
    }
    stage.cf = "ours".into();
    stage.expect(&[("a@b.c", Some("x,x2")), ("none", None)]);
}

const LDIF: &str = "dn: dc=x\nobjectClass: dcObject\nobjectClass: organization\ndc: x\no: x\n\n\
    dn: cn=a,dc=x\nobjectClass: inetOrgPerson\ncn: a\nsn: A\nmail: a@x\nmail: a2@x\n\
    uid: O'Brien (x*)\n\n\
    dn: cn=b,dc=x\nobjectClass: inetOrgPerson\ncn: b\nsn: B\nmail: b@x\n\n\
    dn: cn=group,dc=x\nobjectClass: groupOfNames\nobjectClass: labeledURIObject\ncn: group\n\
    member: cn=a,dc=x\nlabeledURI: ldap:///dc=x?mail?sub?(sn=B)\n\n\
    dn: cn=loop,dc=x\nobjectClass: groupOfNames\ncn: loop\nmember: cn=loop,dc=x\n";

#[test]
fn ldap() {
    let (Some(slapd), Some(slapadd)) = (installed("slapd"), installed("slapadd")) else {
        return skip("ldap", "no OpenLDAP server");
    };
    let stage = Stage::new("ldap");
    let port = stage.system.port;
    let schema = |name: &str| format!("include /etc/ldap/schema/{name}.schema\n");
    let schemas: String = ["core", "cosine", "inetorgperson"].map(schema).concat();
    let rest = "modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix dc=x\n\
        rootdn cn=admin,dc=x\nrootpw secret\nmaxsize 10485760\n";
    let dir = stage.dir.display();
    let text = format!("{schemas}{rest}directory {dir}\n");
    fs::write(stage.dir.join("slapd.conf"), text).unwrap();
    stage.run(stage.command(&slapadd).args(["-f", "slapd.conf"]), LDIF);
    let start = || {
        let mut command = stage.command(&slapd);
        command.args(["-d", "0", "-f", "slapd.conf"]);
        command.arg("-h").arg(format!("ldap://127.0.0.1:{port}"));
        Daemon::start(&stage, &mut command, || listens(port))
    };
    let common = format!("server_host = 127.0.0.1\nserver_port = {port}\nsearch_base = dc=x\n");
    let login = "bind = yes\nbind_dn = cn=admin,dc=x\nbind_pw = secret\n";
    let people = "query_filter = (|(cn=%s)(uid=%s))\nresult_attribute = mail\n";
    let groups = "special_result_attribute = member, labeledURI\n";
    let first = start();
    let text = format!("{common}{login}{people}{groups}");
    stage.configure(&text);
    stage.expect(&[("group", Some("a@x,a2@x,b@x")), ("a@b.c", None)]);
    stage.configure(&text.replace("(|(cn=%s)(uid=%s))", "cn=loop"));
    let limit = "Recursion limit exceeded for special attribute member=cn=loop,dc=x";
    let told = String::from_utf8_lossy(&stage.ask("a@b.c").stderr).into_owned();
    assert!(told.contains(limit) && told.contains("query error"), "{told}");
    stage.configure(&text.replace("bind_pw = secret", "bind_pw = wrong"));
    let dn = format!("ldap://127.0.0.1:{port} with dn cn=admin,dc=x");
    stage.expect_failure(&format!("dict_ldap_connect: Unable to bind to server {dn}: 49"));
    drop(first);
    stage.configure(&format!("{common}{people}"));
    let expected = [
        ("a", Some("a@x,a2@x")),
        ("O'Brien (x*)", Some("a@x,a2@x")),
        ("*", None),
        ("a)(cn=*", None),
        ("none", None),
    ];
    let dn = format!("ldap://127.0.0.1:{port} with dn empty or implicit");
    let warning = format!("dict_ldap_connect: Unable to bind to server {dn}: -1");
    goes_and_comes(&stage, start, &expected, &warning);
}

/// Sends `text` and reads until the server says `end`.
fn tell(port: u16, text: &str, end: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains(end) {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&told));
        told.extend(&buffer[..length]);
    }
}

#[test]
fn memcache() {
    let Some(memcached) = installed("memcached") else { return skip("memcache", "no memcached") };
    let stage = Stage::new("memcache");
    let port = stage.system.port;
    stage.configure(&format!("memcache = inet:127.0.0.1:{port}\nkey_format = p:%s\n"));
    let start = || {
        let mut command = stage.command(&memcached);
        command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
        let daemon = Daemon::start(&stage, &mut command, || listens(port));
        let set = |key: &str, value: &str| {
            let length = value.len();
            tell(port, &format!("set {key} 0 0 {length}\r\n{value}\r\n"), "STORED\r\n");
        };
        set("p:a@b.c", "v w");
        set("p:o'brien@x", "ob");
        daemon
    };
    let expected =
        [("a@b.c", Some("v w")), ("o'brien@x", Some("ob")), ("none", None), ("a key", None)];
    let warning = format!("connect to 127.0.0.1:{port}: Connection refused");
    goes_and_comes(&stage, start, &expected, &warning);
}

#[test]
fn redis() {
    let Some(server) = installed("redis-server") else { return skip("redis", "no Redis") };
    let stage = Stage::new("redis");
    let port = stage.system.port;
    let login = "database = 3\npassword = sekret\n";
    let start = || {
        let mut command = stage.command(&server);
        command.args(["--bind", "127.0.0.1", "--save", "", "--requirepass", "sekret"]);
        command.args(["--port", &port.to_string()]);
        let daemon = Daemon::start(&stage, &mut command, || listens(port));
        let fill = "AUTH sekret\r\nSELECT 3\r\nSET p:a@b.c x\r\nSET \"p:o'brien@x\" ob\r\n\
            HSET h:b.c a x b y\r\nPING\r\n";
        tell(port, fill, "+PONG\r\n");
        daemon
    };
    let first = start();
    let hosts = format!("hosts = inet:127.0.0.1:{port}\n");
    stage.configure(&format!("{hosts}{login}key = h:%d\nfield = %u\n"));
    stage.expect(&[("a@b.c", Some("x")), ("b@b.c", Some("y")), ("c@b.c", None), ("b.c", None)]);
    stage.configure(&format!("{hosts}{login}key = h:b.c\n"));
    stage.expect_failure(&format!("{}: query failed: ", stage.table()));
    stage.configure(&format!("{hosts}password = wrong\n"));
    stage.expect_failure(&format!("connect to redis server inet:127.0.0.1:{port}: "));
    stage.configure(&format!("{hosts}{login}key = p:%s\n"));
    drop(first);
    let expected = [("a@b.c", Some("x")), ("o'brien@x", Some("ob")), ("none", None)];
    let warning = format!("connect to redis server inet:127.0.0.1:{port}: ");
    goes_and_comes(&stage, start, &expected, &warning);
}
