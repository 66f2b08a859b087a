use super::*;

#[test]
fn other_names_mean_the_same() {
    let same = [
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64/v8"),
        ("linux/arm", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
    ];
    for (a, b) in same {
        assert_eq!(Platform::parse(a).ok(), Platform::parse(b).ok(), "{a}");
    }
    for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64", "a\0"] {
        assert!(Platform::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_processor_runs_what_its_predecessors_ran() {
    let fit = |wanted: &str, offered: &str| Platform::parse(wanted).ok()?.fit(&Platform::parse(offered).ok()?);
    assert_eq!(fit("linux/amd64", "linux/amd64"), Some(0));
    assert_eq!(fit("linux/amd64", "linux/amd64/v2"), None);
    assert!(fit("linux/amd64/v3", "linux/amd64/v2") < fit("linux/amd64/v3", "linux/amd64"));
    assert!(fit("linux/arm/v7", "linux/arm/v6").is_some());
    assert_eq!(fit("linux/arm/v6", "linux/arm/v7"), None);
    assert_eq!(fit("linux/arm64", "linux/arm"), None);
    assert_eq!(fit("linux/amd64", "windows/amd64"), None);
}
