//! postconf(1) and what is odd about its files.

use super::{compare, compare_with, installed, none_differs};

/// Lines of main.cf that postconf(1) has something to say about.
static ODD: &[&str] = &[
    "relayhost=${x",
    "relayhost=${{1}==?{t}:{f}}",
    "relayhost=${{a} <> {b} ? {c}}",
    "relayhost=$relayhost",
    "own=${x",
    "smtpd_restriction_classes=a1 $a2\na2=a3,a4\na3=permit\na4=$a5\na5=x\na6=y",
    "alias_maps=mysql:$m\nm=m1\nm1_hosts=x\nown=mysql:m2\nm2_hosts=y",
    "virtual_alias_maps=pipemap:{mysql:a1,ldap:a2} proxy:unionmap:{pgsql:a3}\na1_hosts=x\na2_bind=y
     a3_user=z\na3_nosuch=w",
    "drop_time_limit=1\npolicy_time_limit=2\npolicy_destination_rate_delay=3
     local_destination_rate_delay=4\nrelay_destination_rate_delay=5\nsmtp_destination_rate_delay=6",
    "own=$a ${b!}\nx=${a?{$b} $c} $d\ny=${a?{$b}:{$c}x}\nz=${{$a}==x}${b}\nv=${{$a}=={$b}x} $c",
    "own=${{$}=={$b}?{$c}} $d\nx=${a?{$b$}:{$c$}x}\ny=$(a?{$b)\nz=${{$a$}=={$b$}?{$c}x}",
    "relayhost=$a ${b?{$c} $d}",
    "relayhost=${{$a}=={$b}?{$c$}:{$d}}",
    "alias_maps=ldap:/nosuch proxy:mysql:/nosuch, ldap:/nosuch ldap:./nosuch pgsql:/\nown=ldap:/other",
    "alias_maps=mysql:/nosuch/$u\nu=x\nrelay_domains=unionmap:{{sqlite:/no/a},memcache:/no/b}",
    "alias_maps=ldap:DIR/cf1 mysql:DIR/cf1,mysql:DIR/cf2 sqlite:DIR/cf1 pgsql:DIR/cf1 memcache:DIR/cf1",
    "alias_maps=ldap:DIR/cf3",
    "relayhost={\nown={\nmynetworks = { a } b}, {c\nalias_maps=hash:{x}y, proxy:unionmap:{{a}b",
    "smtpd_restriction_classes=$own $x$relayhost\nown=c1\nc1=permit",
    "smtpd_restriction_classes=${x",
    "virtual_maps=${x\nvirtual_alias_maps=$virtual_maps",
    "relayhost=${ }\nown=${ }",
    "a=b\na=c\nlonely",
    "tabs=a\tb\n c",
    "u=\u{e9}",
    "a=b\na=c",
    "  lead=x\nb=c",
    "lonely",
    "a b=c",
];

/// Lines after the entry of a service, or main.cf after `;;`, that postconf(1) has something to say
/// about.
static ODD_SERVICES: &[&str] = &[
    "-o a=b;;relayhost=$a",
    "-o x=$a;;a=b",
    "-o relayhost=$a\nsmtps inet n - n - - smtpd -o a=b",
    "-o x=$a\nsmtps inet n - n - - smtpd -o a=b;;a=c",
    "-o alias_maps=mysql:m\nsmtps inet n - n - - smtpd -o m_hosts=a -o x=1;;m_user=1\nmyorigin=$x",
    "-o smtpd_restriction_classes=c1,c2 -o c1=permit;;c2=permit\nc3=a",
    "-o own=$own",
    "-o relayhost=$relayhost",
    "-o own=${x",
    "-o relayhost=${x",
    "-o { relayhost=$a ${b?{$c}x} }",
    "-o alias_maps=$own;;own=mysql:${x",
    "-o alias_maps=ldap:/x -o own=ldap:/y;;relay_domains=ldap:/z",
    "-o { own=a }b",
    "-o {  own = a  } } -v  ",
    "-o {  own = {a }  -o { b=c }",
    "-o {{ own=a }  -o { b=c  ",
    "-o { own=a ",
    "-o { ",
    "-o { own=a }} ",
    "- -v -o a=b -o c=d",
    "} -o a=b -voc=d",
    "- -o a=b\nsmtp { x } - - - - - -",
    "-v\na-service-whose-name-is-so-long-that-it-needs-two-lines-to-be-shown unix - - n - - smtp -v -v",
    "-v\ns unix - - n - - a-command-whose-name-is-long-enough-for-a-line-of-its-own-alone -o a=b -v",
    "-v\na-service-with-a-long-name unix-dgram n - n 1000? 12345678 smtp -o a=b",
];

#[test]
fn postconf_reads_master_cf_as_postfix_does() {
    if installed() {
        none_differs(ODD_SERVICES, |lines, found| {
            let (service, main) = lines.split_once(";;").unwrap_or((lines, ""));
            let main = format!("{main}\ncompatibility_level = 3.6\nmyhostname = a.test\n");
            let master = format!("smtp inet n - n - - smtpd\n {service}\n");
            for words in ["-n", "-M", "-Mx", "-Mf", "-P", "-Px", "-F", "-Ff", "-FH"] {
                compare_with(&main, &master, &[("postconf", &[words], "")], found);
            }
        });
    }
}

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
