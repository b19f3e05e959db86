//! postmap(1) and postalias(1).

use super::{MESSAGE, Step, compare, installed, none_differs, words};

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
    "-q|abc|regexp:old ; -q|abcd|regexp:old ; -q|pq|regexp:old ; -q|-|regexp:old < p\nz\na\nlast\n",
    "-q|-|pcre:old < abc\np\nlast\n ; -q|1.2.3.4|cidr:net2 ; bad ; -s|texthash:bad",
    "-q|a|inline:{a=b}  ; -q|a|pcre:{ a = b }  ; -q|a|unionmap:{static:a}  ; -q|a|static:{a} ",
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
    "-s ; -p|-s ; -s| ; -d|x| ; -q|a|texthash:t1| ; -q|key2|texthash:t1| ; @-s",
    "@t1 ; @-b|al ; @-U|al ; @-d|x|static:y ; @regexp:al ; @",
];

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
