use super::*;

#[test]
fn names_are_completed_as_docker_does() {
    let hex = "a".repeat(64);
    let cases = [
        ("redis", "docker.io/library/redis:latest", "redis:latest"),
        ("redis:7-alpine", "docker.io/library/redis:7-alpine", "redis:7-alpine"),
        ("prom/prometheus", "docker.io/prom/prometheus:latest", "prom/prometheus:latest"),
        ("index.docker.io/redis", "docker.io/library/redis:latest", "redis:latest"),
        ("docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("quay.io/a/b/c:V1.0_x", "quay.io/a/b/c:V1.0_x", "quay.io/a/b/c:V1.0_x"),
        ("Reg/app", "Reg/app:latest", "Reg/app:latest"),
        ("a--b/c__d.e", "docker.io/a--b/c__d.e:latest", "a--b/c__d.e:latest"),
        (
            &format!("redis@sha256:{hex}"),
            &format!("docker.io/library/redis@sha256:{hex}"),
            &format!("redis@sha256:{hex}"),
        ),
        (&format!("x/y:1@sha256:{hex}"), &format!("docker.io/x/y:1@sha256:{hex}"), &format!("x/y:1@sha256:{hex}")),
    ];
    for (text, canonical, familiar) in cases {
        let reference = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (canonical, familiar));
        assert_eq!(Reference::parse(canonical).ok(), Some(reference), "{text}: read again");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let bad = [
        "",
        " ",
        "Redis",
        "redis:",
        "redis:-x",
        "redis::1",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a b",
        "redis@",
        "redis@sha256:abc",
        "redis@md5:00000000000000000000000000000000",
        "reg:port/a",
        "reg:99999/a",
        "[::g]:1/a",
        "a\0b",
        "reg.io/",
        "http://x/y",
        "-reg.io/a",
    ];
    for text in bad {
        assert!(Reference::parse(text).is_err(), "{text:?}");
    }
    assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
    assert!(Reference::parse(&"a".repeat(300)).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_takes_it_takes_again(text in "\\PC{0,60}") {
        if let Ok(reference) = Reference::parse(&text) {
            proptest::prop_assert_eq!(Reference::parse(&reference.to_string()).ok(), Some(reference.clone()));
            proptest::prop_assert_eq!(Reference::parse(&reference.familiar()).ok(), Some(reference));
        }
    }
}
