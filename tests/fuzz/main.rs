//! What reads other people's texts never panics, ends soon and needs little memory: YAML, variables, env files, ports, sizes,
//! durations, image references, and files made to hurt.
//!
//! Each property runs a bounded number of random cases; `PROPTEST_CASES=100000 cargo test --test fuzz` looks longer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod limits;

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use windlass::compose::config::{Format, print};
use windlass::compose::{LoadOptions, Loaded, load};
use windlass::diag::Diagnostics;
use windlass::host::image::Reference;

/// Files in a folder of their own, loaded; `compose.yaml` is the project's.
pub fn stage(files: &[(&str, &[u8])]) -> Result<Loaded, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("stage");
    fs::create_dir(&root).unwrap();
    for (name, text) in files {
        fs::write(root.join(name), text).unwrap();
    }
    let env = BTreeMap::from([("A".to_owned(), "a".to_owned()), ("EMPTY".to_owned(), String::new())]);
    let files = vec!["compose.yaml".to_owned()];
    let loaded = load(&LoadOptions { files, env, cwd: root, ..LoadOptions::default() });
    if let Err(wrong) = &loaded {
        // Drawing must not fail either, wherever the places are.
        assert!(!wrong.to_string().is_empty() && wrong.to_json().is_object());
    }
    loaded
}

/// A service with one attribute; what loads is printed, and what is printed loads and is printed the same.
fn round_trip(attribute: &str, text: &str) -> Result<(), TestCaseError> {
    let value = serde_json::to_string(text).unwrap();
    let file = format!("services: {{s: {{image: i, {}}}}}\n", attribute.replace('@', &value));
    let Ok(loaded) = stage(&[("compose.yaml", file.as_bytes())]) else { return Ok(()) };
    let printed = print(&loaded, Format::Yaml);
    let again = match stage(&[("compose.yaml", printed.as_bytes())]) {
        Ok(again) => print(&again, Format::Yaml),
        Err(wrong) => return Err(TestCaseError::fail(format!("{text:?}: {wrong}\n{printed}"))),
    };
    prop_assert_eq!(printed, again);
    Ok(())
}

const GOOD: &str = "name: x\nx-a: &a {A: 1, B: [x, \"y\"]}\nservices:\n  s:\n    image: \"i:${T:-x}\"\n    ports: ['80:80', {target: 1}]\n    \
    volumes: ['./a:/b:ro']\n    environment: {<<: *a, C: &x 1, D: *x}\n    command: |\n      a\n      b\nvolumes: {v: {external: {name: n}}}\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn addresses_of_remote_files(text in "(https?|git|ssh|oci|é)?(://)?[a-z@:#/.\\-é?$ ]{0,40}(\\.git)?(#[a-z:/.\\-]{0,10})?") {
        use windlass::compose::remote::{Address, masked, without_passwords};
        prop_assert_eq!(without_passwords(&text).len(), text.len());
        prop_assert!(masked(&text).len() <= text.len() + 3);
        if let Some(Ok(address)) = Address::parse(&text) {
            prop_assert!(!address.path.split('/').any(|part| part == "..") && !address.path.starts_with('/'));
            prop_assert!(!address.source.mask(&text).is_empty());
        }
    }

    #[test]
    fn yaml_of_any_kind(text in "[a-c:\\-\\[\\]{}&*!|>'\"#%@ \n\t,.?<=0-9~é\u{feff}\u{0}]{0,120}") {
        let _ = stage(&[("compose.yaml", text.as_bytes())]);
    }

    #[test]
    fn bytes_of_any_kind(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = stage(&[("compose.yaml", &bytes)]);
    }

    #[test]
    fn a_good_file_that_was_hurt(edits in proptest::collection::vec((0..GOOD.len(), "[\\[\\]{}:'\"$&*!| \n\t-]{0,3}", 0..4_usize), 1..4)) {
        let mut text = GOOD.to_owned();
        for (at, new, gone) in edits {
            let at = at.min(text.len());
            let end = (at + gone).min(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(end) {
                text.replace_range(at..end, &new);
            }
        }
        let _ = stage(&[("compose.yaml", text.as_bytes())]);
    }

    #[test]
    fn variables(text in "([$]|[{]|[}]|:-|:[?]|:[+]|-|[?]|[+]|A|EMPTY|NO|[$][{]A|1| |é){0,30}") {
        round_trip("user: @", &text)?;
    }

    #[test]
    fn env_files(text in "(A|B|=|:|export |\"|'|\n|#| |[$]|[$][{]A:-|[}]|\\\\|\\\\n|\\\\0777|\r|é|\t){0,40}") {
        let file = b"services: {s: {image: i, env_file: [e.env, {path: e.env, format: raw}]}}\n";
        let _ = stage(&[("compose.yaml", file), (".env", text.as_bytes())]);
        let _ = stage(&[("compose.yaml", file), ("e.env", text.as_bytes())]);
    }

    #[test]
    fn ports(text in "([0-9]{1,6}|:|-|/|tcp|udp|[\\[]|[\\]]|127[.]0[.]0[.]1|::1| ){0,8}") {
        round_trip("ports: [@]", &text)?;
    }

    #[test]
    fn mounts(text in "(/|[.]|:|a|~|ro|rw|,|z|nocopy|[\\\\]| |C:){0,10}") {
        round_trip("volumes: [@]", &text)?;
    }

    #[test]
    fn durations(text in "([0-9]{1,20}|[.]|ns|us|µs|ms|s|m|h|d|w|-|[+]| ){0,8}") {
        round_trip("stop_grace_period: @", &text)?;
    }

    #[test]
    fn sizes(text in "([0-9]{1,20}|[.]|b|k|kb|KiB|m|g|t|p|-| ){0,5}") {
        round_trip("mem_limit: @", &text)?;
    }

    #[test]
    fn commands(text in "(a|'|\"|\\\\|[$][$]|[(]|[)]|`|;|&|[|]|<|>|2>| |\n|é){0,16}") {
        round_trip("command: @", &text)?;
    }

    #[test]
    fn hosts_devices_and_limits(text in "(a|=|:|[\\[]|[\\]]|1[.]2[.]3[.]4|::1|/dev/x|rwm| ){0,8}") {
        round_trip("extra_hosts: [@]", &text)?;
        // As docker compose, a device without a path is printed as one, and not read again.
        if text.split(':').take(2).all(|part| !part.is_empty()) {
            round_trip("devices: [@]", &text)?;
        }
        round_trip("tmpfs: [@]", &text)?;
        round_trip("links: [@]", &text)?;
    }

    #[test]
    fn image_references(text in "([a-z]{1,3}|[A-Z]|[0-9]|/|:|@|[.]|_|__|-|sha256:|localhost|[a-f0-9]{64}){0,10}") {
        if let Ok(reference) = Reference::parse(&text) {
            let again = Reference::parse(&reference.to_string()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(reference, again);
        }
    }
}
