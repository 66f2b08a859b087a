//! Scalars, variables, env files, command lines, sizes, durations.

use std::collections::BTreeMap;

use crate::compose::node::Kind;
use crate::compose::template::{Lookup, substitute};
use crate::compose::{dotenv, scalar, source, units, words};

#[test]
fn plain_scalars_mean_what_go_yaml_says() {
    for (text, meaning) in [
        ("yes", "text yes"),
        ("on", "text on"),
        ("True", "true"),
        ("~", "nothing"),
        ("", "nothing"),
        ("0777", "511"),
        ("0o17", "15"),
        ("0x1F", "31"),
        ("0b101", "5"),
        ("1_000", "1000"),
        ("-12", "-12"),
        ("+7", "7"),
        ("08", "8"),
        ("1.10", "1.1"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("123456.5", "123456.5"),
        ("1234567.5", "1.2345675e+06"),
        ("100000000.0", "1e+08"),
        ("0.00001", "1e-05"),
        ("1e21", "1e+21"),
        ("99999999999999999999999", "1e+23"),
        (".inf", "+Inf"),
        ("-.inf", "-Inf"),
        (".5", "0.5"),
        ("22:22", "text 22:22"),
        ("12:30:45", "text 12:30:45"),
        ("1.2.3", "text 1.2.3"),
        ("1-2", "text 1-2"),
        ("-", "text -"),
        (".", "text ."),
        ("2020-01-02", "date 2020-01-02"),
        ("2020-01-02x", "text 2020-01-02x"),
    ] {
        let shown = match scalar::plain(text) {
            Kind::Str(text) => format!("text {text}"),
            Kind::Date(text) => format!("date {text}"),
            Kind::Null => "nothing".to_owned(),
            kind => scalar::text(&kind).unwrap_or_default(),
        };
        assert_eq!(shown, meaning, "{text:?}");
    }
}

#[test]
fn variables() {
    let get = |name: &str| match name {
        "A" => Some("a".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (text, result) in [
        ("$A", Ok("a")),
        ("${A}b", Ok("ab")),
        ("$AB", Ok("")),
        ("$$A", Ok("$A")),
        ("$1 $ $(x) 5$", Ok("$1 $ $(x) 5$")),
        ("${EMPTY-d}", Ok("")),
        ("${EMPTY:-d}", Ok("d")),
        ("${U-d}", Ok("d")),
        ("${U:-${V:-${A}}}", Ok("a")),
        ("${U:-{\"a\":1}}", Ok("{\"a\":1}")),
        ("${U:-a}b}", Ok("ab}")),
        ("${A+x}${U+x}${EMPTY+x}${EMPTY:+y}", Ok("xx")),
        ("${A:?no}", Ok("a")),
        ("${U:?no}", Err("U: no")),
        ("${EMPTY:?}", Err("EMPTY: ")),
        ("${EMPTY?no}", Ok("")),
        ("${}", Err("invalid")),
        ("${1A}", Err("invalid")),
        ("${A B}", Err("invalid")),
        ("${A.b}", Err("invalid")),
        ("${A/x/y}", Err("invalid")),
        ("${A:d}", Err("invalid")),
        ("${A", Err("invalid")),
        ("${NO:-a\nb}", Err("invalid")),
        ("${NO:-{x}", Ok("{x")),
        ("${NO:-{}}.", Ok("{}.")),
        ("${NO:-{\"a\":{\"b\":1}}}}", Ok("{\"a\":{\"b\":1}}}")),
        ("${A:-${NO:?why}}", Err("NO: why")),
        ("${A:+x}${NO:+${NO?}}", Err("NO: ")),
        ("${A?${NO?inner}}", Err("NO: inner")),
    ] {
        let got = substitute(text, &mut Lookup::new(&get)).map_err(|error| match error {
            crate::compose::template::TemplateError::Invalid(_) => "invalid".to_owned(),
            crate::compose::template::TemplateError::Required { name, text } => format!("{name}: {text}"),
        });
        assert_eq!(got.as_deref().map_err(String::as_str), result, "{text}");
    }
}

fn env_file(text: &str) -> Result<String, String> {
    let lookup = |name: &str| (name == "OUT").then(|| "outer".to_owned());
    let found = dotenv::parse(text, &lookup, &|_| None).map_err(|errors| errors[0].to_string())?;
    Ok(found.values.iter().map(|(k, v)| format!("{k}={v};")).collect())
}

fn lines_of(text: &str, errors: &[dotenv::DotenvError]) -> Vec<usize> {
    errors.iter().map(|error| text[..error.place.start].matches('\n').count() + 1).collect()
}

#[test]
fn env_files() {
    for (text, result) in [
        ("A=b", "A=b;"),
        ("\u{feff}A=b\r\nC=d\r\n", "A=b;C=d;"),
        ("# no\n\nexport A=b\n  B: c\n", "A=b;B=c;"),
        ("A=b # c\nB=b#c\nC=#x", "A=b;B=b#c;C=#x;"),
        ("A='x $OUT \\n'", "A=x $OUT \\n;"),
        ("A='it\\'s'", "A=it's;"),
        ("A=\"x $OUT\\n\\$y\\\\\"", "A=x outer\n$y\\;"),
        ("A=\"two\nlines\"\nB=1", "A=two\nlines;B=1;"),
        ("A=$OUT\nB=$A-$$", "A=outer;B=outer-$;"),
        ("A=a\\nb", "A=a\\nb;"),
        ("OUT\nNONE\nA=1", "A=1;OUT=outer;"),
        ("A=", "A=;"),
        ("A.b-c[0]=1", "A.b-c[0]=1;"),
        ("A=\"x\"y", "A=x;"),
        ("A=\"\\0101\"", "A=A;"),
        ("A=1\n=2\nB=3", "=2;A=1;B=3;"),
    ] {
        assert_eq!(env_file(text).as_deref(), Ok(result), "{text:?}");
    }
    for (text, line) in [("A=1\nB=\"x", 2), ("a b=1", 1), ("A=\"${x:-1\\n}\"", 1), ("A=${x", 1), ("A&B=1", 1)] {
        let errors = dotenv::parse(text, &|_| None, &|_| None).expect_err(text);
        assert_eq!(lines_of(text, &errors), [line], "{text:?}: {errors:?}");
    }
    // All of them, and nothing that only follows from one.
    let text = "a b=1\nC=\"two\nlines\"\nd e='three\nf g=4'\nH=${x\nI=1\n=m\nN='o\nO=\"p\n";
    let errors = dotenv::parse(text, &|_| None, &|_| None).expect_err(text);
    assert_eq!(lines_of(text, &errors), [1, 4, 6, 9, 10], "{errors:?}");
}

#[test]
fn an_env_files_error_does_not_tell_its_value() {
    let error = env_file("PASSWORD=hush${hush").expect_err("a variable is not closed");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn raw_env_files() {
    let found = dotenv::parse_raw("A=\"x\" # y\nB=$A\nOUT\n#c\n", &|n| (n == "OUT").then(|| "o".to_owned()));
    let wanted = BTreeMap::from([("A", "\"x\" # y"), ("B", "$A"), ("OUT", "o")]);
    let wanted: BTreeMap<String, String> = wanted.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert_eq!(found.map(|f| f.values), Ok(wanted));
    assert_eq!(dotenv::parse_raw("export A=1\nB=2\n=3", &|_| None).expect_err("a blank").len(), 2);
}

#[test]
fn command_lines() {
    for (text, words, rest) in [
        ("a b  c", &["a", "b", "c"][..], ""),
        ("sh -c 'a  \"b\" $X'", &["sh", "-c", "a  \"b\" $X"], ""),
        ("a \"b \\\" c\" d\\ e", &["a", "b \" c", "d e"], ""),
        ("a ''", &["a", ""], ""),
        ("a\tb\nc", &["a", "b", "c"], ""),
        ("x `a b` $(c d)", &["x", "`a b`", "$(c d)"], ""),
        ("a 8090 2>&1", &["a", "8090"], ">&1"),
        ("a && b", &["a"], "&& b"),
        ("a '&&' b", &["a", "&&", "b"], ""),
        ("", &[], ""),
    ] {
        let split = words::split(text).expect(text);
        assert_eq!(
            (split.list, split.rest.as_str()),
            (words.iter().map(|w| (*w).to_owned()).collect(), rest),
            "{text}"
        );
    }
    for text in ["a 'b", "a \"b", "a\\", "a (b)"] {
        assert!(words::split(text).is_err(), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("10", Some(10)),
        ("1k", Some(1024)),
        ("1 KiB", Some(1024)),
        ("1.5g", Some(1_610_612_736)),
        ("2MB", Some(2_097_152)),
        ("3b", Some(3)),
        ("1t", Some(1 << 40)),
        ("-1", Some(-1)),
        ("-2", None),
        ("x", None),
        ("1x", None),
        ("", None),
        ("9999999p", None),
    ] {
        assert_eq!(units::bytes(text).ok(), bytes, "{text:?}");
    }
}

#[test]
fn durations() {
    for (text, shown) in [
        ("90s", Some("1m30s")),
        ("1d", Some("24h0m0s")),
        ("1w", Some("168h0m0s")),
        ("1.5h", Some("1h30m0s")),
        ("10us", Some("10µs")),
        ("1h2m3s4ms", Some("1h2m3.004s")),
        ("0", Some("0s")),
        ("100ms", Some("100ms")),
        ("1500ms", Some("1.5s")),
        ("10", None),
        ("", None),
        ("1x", None),
        ("s", None),
    ] {
        assert_eq!(units::duration(text).ok().map(units::duration_text).as_deref(), shown, "{text:?}");
    }
}

#[test]
fn names_of_projects() {
    for (text, name) in [("My Proj.v2", "myprojv2"), ("ÄB", "b"), ("...", ""), ("__a_b-c", "a_b-c"), ("9x", "9x")] {
        assert_eq!(source::normal_name(text), name);
    }
    assert!(source::given_name("Abc").is_err());
    assert!(source::given_name("abc").is_ok());
}
