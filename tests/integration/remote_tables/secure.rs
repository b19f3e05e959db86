//! The same servers behind TLS, which they insist on: with an authority's certificate for
//! 127.0.0.1, and another authority that has nothing to do with it.

use super::{ANSWERS, Daemon, LDIF, ROWS, Stage, installed, listens, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

/// A stage whose directory has `ca.pem`, `other.pem`, `cert.pem` and `key.pem`.
fn stage(kind: &'static str) -> Option<Stage> {
    let Some(openssl) = installed("openssl") else {
        skip(kind, "no openssl");
        return None;
    };
    // What the libraries that Postfix uses say is not compared: only whether they are content.
    let stage = Stage { postfix: None, ..Stage::new(kind) };
    let run = |arguments: &str| {
        stage.run(stage.command(&openssl).args(arguments.split_whitespace()), "");
    };
    for name in ["ca", "other"] {
        run(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 30 \
             -subj /CN={name}"
        ));
    }
    run("req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN=server");
    fs::write(stage.dir.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    run("x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile names -out cert.pem");
    fs::set_permissions(stage.dir.join("key.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    Some(stage)
}

impl Stage {
    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Whether the table answers when it is configured so.
    #[track_caller]
    fn answers(&self, text: &str, key: &str) -> bool {
        self.configure(text);
        let output = self.ask(key);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() != told.contains("query error"), "{told}");
        output.status.success()
    }
}

#[test]
fn pgsql_over_tls() {
    let (Some(initdb), Some(postgres), Some(psql)) =
        (installed("initdb"), installed("postgres"), installed("psql"))
    else {
        return skip("pgsql", "no PostgreSQL");
    };
    let Some(stage) = stage("pgsql") else { return };
    let port = stage.system.port;
    let mut init = stage.command(&initdb);
    stage.run(init.args(["-D", "data", "-A", "trust", "-U", "u", "-E", "UTF8", "-N"]), "");
    let only_tls = "hostssl all all 127.0.0.1/32 trust\n";
    fs::write(stage.dir.join("data/pg_hba.conf"), only_tls).unwrap();
    let client = || {
        let mut client = stage.command(&psql);
        client.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "u", "-d", "postgres"]);
        client.env("PGSSLMODE", "require").args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        client
    };
    let mut server = stage.command(&postgres);
    server.args(["-D", "data", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    server.args(["-c", "ssl=on", "-c"]).arg(format!("ssl_cert_file={}", stage.file("cert.pem")));
    server.arg("-c").arg(format!("ssl_key_file={}", stage.file("key.pem")));
    server.args(["-p", &port.to_string()]).arg("-k").arg(&stage.dir);
    let ready = || client().args(["-c", "select 1"]).status().unwrap().success();
    let _server = Daemon::start(&stage, &mut server, ready);
    stage.run(&mut client(), ROWS);
    let query = "user = u\ndbname = postgres\nquery = select v, w from t where k = '%s'\n";
    let uri = |host: &str, options: &str| {
        format!("hosts = postgresql://{host}:{port}/postgres?{options}\n{query}")
    };
    let (ca, other) = (stage.file("ca.pem"), stage.file("other.pem"));
    stage.configure(&uri("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ca}")));
    stage.expect(&ANSWERS);
    // Without being told, as libpq does.
    assert!(stage.answers(&format!("hosts = 127.0.0.1:{port}\n{query}"), "a@b.c"));
    let ask = |host: &str, options: &str| stage.answers(&uri(host, options), "a@b.c");
    assert!(ask("127.0.0.1", "sslmode=require"));
    assert!(ask("localhost", &format!("sslmode=verify-ca&sslrootcert={ca}")));
    assert!(!ask("localhost", &format!("sslmode=verify-full&sslrootcert={ca}")), "another name");
    assert!(!ask("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={other}")));
    assert!(!ask("127.0.0.1", "sslmode=disable"));
}

#[test]
fn mysql_over_tls() {
    let (Some(install), Some(server), Some(client)) =
        (installed("mariadb-install-db"), installed("mariadbd"), installed("mariadb"))
    else {
        return skip("mysql", "no MariaDB");
    };
    let Some(stage) = stage("mysql") else { return };
    let (data, socket) = (stage.dir.join("data"), stage.dir.join("socket"));
    let port = stage.system.port;
    let mut init = stage.command(&install);
    init.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    stage.run(init.args(["--auth-root-authentication-method=normal", "--skip-test-db"]), "");
    let mut command = stage.command(&server);
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
    command.arg(format!("--socket={}", socket.display())).arg(format!("--port={port}"));
    command.arg("--bind-address=127.0.0.1").arg("--require-secure-transport=on");
    command.arg(format!("--ssl-cert={}", stage.file("cert.pem")));
    command.arg(format!("--ssl-key={}", stage.file("key.pem")));
    let ready = || UnixStream::connect(&socket).is_ok() && listens(port);
    let _server = Daemon::start(&stage, &mut command, ready);
    let sql = format!(
        "create database d character set utf8mb4; use d; {ROWS}\
         grant all on d.* to u@'127.0.0.1' identified by 'p w';\n\
         grant all on d.* to u@localhost identified by 'p w';\n"
    );
    let mut fill = stage.command(&client);
    fill.args(["--no-defaults", "-u", "root", "--default-character-set=utf8mb4"]);
    stage.run(fill.arg(format!("--socket={}", socket.display())), &sql);
    let rest = "user = u\npassword = p w\ndbname = d\nquery = select v, w from t where k = '%s'\n";
    let table = |host: &str, tls: &str| format!("hosts = inet:{host}:{port}\n{rest}{tls}");
    let (ca, other) = (stage.file("ca.pem"), stage.file("other.pem"));
    stage.configure(&table("127.0.0.1", &format!("tls_CAfile = {ca}\ntls_verify_cert = yes\n")));
    stage.expect(&ANSWERS);
    let ask = |tls: &str| stage.answers(&table("127.0.0.1", tls), "a@b.c");
    assert!(ask(&format!("tls_CAfile = {ca}\n")));
    assert!(!ask(&format!("tls_CAfile = {other}\n")));
    assert!(!ask("tls_verify_cert = yes\n"), "the system knows no such authority");
    assert!(!ask(""), "the server wants TLS");
}

#[test]
fn ldap_over_tls() {
    let (Some(slapd), Some(slapadd)) = (installed("slapd"), installed("slapadd")) else {
        return skip("ldap", "no OpenLDAP server");
    };
    let Some(stage) = stage("ldap") else { return };
    let port = stage.system.port;
    let schema = |name: &str| format!("include /etc/ldap/schema/{name}.schema\n");
    let schemas: String = ["core", "cosine", "inetorgperson"].map(schema).concat();
    let tls = format!(
        "TLSCertificateFile {}\nTLSCertificateKeyFile {}\nsecurity tls=1\n",
        stage.file("cert.pem"),
        stage.file("key.pem")
    );
    let rest = "modulepath /usr/lib/ldap\nmoduleload back_mdb\n";
    let base = "database mdb\nsuffix dc=x\nrootdn cn=admin,dc=x\nrootpw secret\n\
        maxsize 10485760\n";
    let text = format!("{schemas}{tls}{rest}{base}directory {}\n", stage.dir.display());
    fs::write(stage.dir.join("slapd.conf"), text).unwrap();
    stage.run(stage.command(&slapadd).args(["-f", "slapd.conf"]), LDIF);
    let start = |scheme: &str| {
        let mut command = stage.command(&slapd);
        command.args(["-d", "0", "-f", "slapd.conf"]);
        command.arg("-h").arg(format!("{scheme}://127.0.0.1:{port}"));
        Daemon::start(&stage, &mut command, || listens(port))
    };
    let common = "search_base = dc=x\nbind = no\nquery_filter = (cn=%s)\n\
        result_attribute = mail\n";
    let (ca, other) = (stage.file("ca.pem"), stage.file("other.pem"));
    let verified = |file: &str| format!("tls_require_cert = yes\ntls_ca_cert_file = {file}\n");
    for (scheme, more) in [("ldaps", ""), ("ldap", "start_tls = yes\n")] {
        let _server = start(scheme);
        let host = format!("server_host = {scheme}://127.0.0.1:{port}\n{more}{common}");
        stage.configure(&format!("{host}{}", verified(&ca)));
        stage.expect(&[("a", Some("a@x,a2@x")), ("none", None)]);
        assert!(stage.answers(&host, "a"), "nothing is verified");
        assert!(!stage.answers(&format!("{host}{}", verified(&other)), "a"));
    }
    let _server = start("ldap");
    let plain = format!("server_host = ldap://127.0.0.1:{port}\n{common}");
    assert!(!stage.answers(&plain, "a"), "the server wants TLS");
}
