//! Tables and messages put together by chance from what means something in them: thousands of such
//! cases, with other seeds, have been compared with Postfix; these few stay.

use super::{Step, compare_files, installed, none_differs};

/// Cases of each kind.
const CASES: u64 = 60;
const SEED: u64 = 1;

const MAIN: &str = "compatibility_level = 3.6\nmyhostname = a.test\n";

/// A kind of file: what it is made of, how it is asked, and with what on standard input.
struct Kind {
    pieces: &'static [&'static str],
    steps: &'static [(&'static str, &'static [&'static str])],
    input: &'static str,
}

static KINDS: &[Kind] = &[
    Kind {
        pieces: &[
            "a",
            "b",
            "key",
            "Key",
            " ",
            "  ",
            "\t",
            "\n",
            "\n",
            "\n ",
            "#",
            "\"",
            "\\",
            "\\\"",
            ":",
            "value",
            "\u{e9}",
            "=",
            "@",
            "x y",
            "\n#",
            "{",
            "}",
            ",",
            "\r\n",
            "\n\n",
            "stra\u{df}e",
            "$1",
        ],
        steps: &[
            ("postmap", &["hash:t"]),
            ("postmap", &["-s", "hash:t"]),
            ("postmap", &["-q", "-", "hash:t"]),
            ("postmap", &["-s", "texthash:t"]),
        ],
        input: "a\nkey\n\"\nb\nx\na:\nKEY\n\"a\"\na b\n",
    },
    Kind {
        pieces: &[
            "a",
            "root",
            "Key",
            " ",
            "  ",
            "\t",
            "\n",
            "\n",
            "\n ",
            "#",
            "\"",
            "\\",
            "\\\"",
            ":",
            ": ",
            ": ",
            ", ",
            ",",
            "bob",
            "\u{e9}",
            "@",
            "x y",
            "\n#",
            "|cmd",
            "\"|cmd x\"",
            "/file",
            ":include:/x",
            "(c)",
            "(",
            ")",
            "<",
            ">",
            "<a@b>",
            "\r\n",
            ";",
            "x@y",
            " :",
            "\"a b\": ",
        ],
        steps: &[
            ("postalias", &["hash:t"]),
            ("postalias", &["-s", "hash:t"]),
            ("postalias", &["-q", "-", "hash:t"]),
        ],
        input: "a\nroot\na b\nx\n",
    },
    Kind {
        pieces: &[
            "1.2.3.4",
            "1.2.3.0",
            "10.0.0.0",
            "/8",
            "/24",
            "/32",
            "/33",
            "/0",
            "/x",
            "::",
            "::1",
            "fe80::",
            "/64",
            "/128",
            "/129",
            "[",
            "[",
            "]",
            "]",
            " ",
            "  ",
            "\t",
            "\n",
            "\n",
            "\n ",
            "!",
            "if ",
            "endif",
            "if 1.0.0.0/8\n",
            "endif\n",
            "IF !::/0\n",
            "OK",
            "x y",
            "#",
            "REJECT",
            "$1",
            "-1",
            "1.2.3",
            "01.2.3.4",
            "256.1.1.1",
            ":",
            "%1",
        ],
        steps: &[("postmap", &["-q", "-", "cidr:t"])],
        input: "1.2.3.4\n10.9.9.9\n::1\nfe80::1\nfoo\n[::1]\n1.2.3\n::ffff:1.2.3.4\n",
    },
    Kind {
        pieces: &[
            "/",
            "/",
            "/",
            "a",
            "b",
            "(",
            "(a)",
            ")",
            ".",
            "*",
            "+",
            "?",
            "|",
            "[ab]",
            "[^a]",
            "^",
            "$",
            "\\.",
            "\\/",
            "$1",
            "${1}",
            "$(1)",
            "$2",
            "$$",
            "$",
            "i",
            "m",
            "x",
            "s",
            "!",
            "!/",
            " ",
            "  ",
            "\t",
            "\n",
            "\n",
            "\n ",
            "if /a/\n",
            "if !/b/i\n",
            "endif\n",
            "endif",
            "#",
            "REJECT",
            "OK x",
            "{",
            "}",
            "{2}",
            "\\d",
            "\\",
            "[[:alpha:]]",
            "/^a/ ",
            "/b$/ ",
            "/(a+)(b*)/ ",
            "/x/i ",
            "\u{e9}",
            "IF ",
            "=",
            ",",
        ],
        steps: &[("postmap", &["-q", "-", "regexp:t"]), ("postmap", &["-q", "-", "pcre:t"])],
        input: "a\nab\nb\nAB\naabb\nx\nfoo.bar\n/\n\n\u{e9}\na b\n1\n",
    },
    Kind {
        pieces: &[
            "Subject: x\n",
            "\n",
            "\n",
            "From ",
            "a",
            ": ",
            "b\n",
            " c\n",
            "\tc\n",
            "Content-Type: multipart/mixed; boundary=b1\n",
            "Content-Type: message/rfc822\n",
            "Content-Type: multipart/digest; boundary=\"b2\"\n",
            "--b1\n",
            "--b1--\n",
            "--b2\n",
            "--b2--\n",
            "X\n",
            "X : y\n",
            "\u{e9}\n",
            "MIME-Version: 1.0\n",
            "text/plain",
            "Content-Type: ",
            "Content-Type: text/plain\n",
            "; boundary=b1",
            "--b1 \n",
            ".\n",
            "\r\n",
            "Content-Type: message/partial\n",
            "Content-Type: multipart/x; boundary=b1; charset=\"y\"\n",
            "CONTENT-TYPE:multipart/mixed;BOUNDARY=b1\n",
        ],
        // The message is the input, see below.
        steps: &[
            ("postmap", &["-hm", "-q", "-", "regexp:any"]),
            ("postmap", &["-bm", "-q", "-", "regexp:any"]),
        ],
        input: "",
    },
];

/// Numbers that look like chance (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn text(&mut self, pieces: &[&str]) -> String {
        (0..3 + self.below(38)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

#[test]
fn files_made_by_chance_are_read_as_by_postfix() {
    if !installed() {
        return;
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ SEED);
    let mut cases: Vec<(&Kind, String)> = Vec::new();
    for kind in KINDS {
        cases.extend((0..CASES).map(|_| (kind, dice.text(kind.pieces))));
    }
    none_differs(&cases, |(kind, text), found| {
        let input = if kind.input.is_empty() { text } else { kind.input };
        let steps: Vec<Step<'_>> =
            kind.steps.iter().map(|(program, words)| (*program, *words, input)).collect();
        compare_files(&[("main.cf", MAIN), ("master.cf", ""), ("t", text)], &steps, found);
    });
}
