#![allow(clippy::unwrap_used)]

use super::*;

fn hosts(text: &str, name: &str) -> Result<Vec<String>, String> {
    let mut registries = Registries::default();
    registries.take(text)?;
    let reference = Reference::parse(name).map_err(|error| error.to_string())?;
    let endpoints = registries.endpoints(&reference).map_err(|error| error.to_string())?;
    let show = |endpoint: Endpoint| {
        let mark = if endpoint.insecure { "!" } else { "" };
        format!("{mark}{}/{}", endpoint.host, endpoint.repository)
    };
    Ok(endpoints.into_iter().map(show).collect())
}

#[test]
fn without_a_file_an_image_is_where_its_name_says() {
    assert_eq!(hosts("", "redis").unwrap(), ["registry-1.docker.io/library/redis"]);
    assert_eq!(hosts("", "quay.io/a/b").unwrap(), ["quay.io/a/b"]);
}

#[test]
fn the_longest_prefix_counts_and_ends_where_a_part_ends() {
    let text = r#"
        unqualified-search-registries = ["quay.io"]
        [[registry]]
        prefix = "docker.io"
        location = "127.0.0.1:5000"
        insecure = true
        [[registry]]
        prefix = "docker.io/team"
        location = "own.example/mirror/team"
        [[registry]]
        location = "q.example/a"
        blocked = true
        [[registry]]
        prefix = "*.wild.example"
        location = "one.example/w"
    "#;
    assert_eq!(hosts(text, "redis:7").unwrap(), ["!127.0.0.1:5000/library/redis"]);
    assert_eq!(hosts(text, "team/app").unwrap(), ["own.example/mirror/team/app"]);
    assert_eq!(hosts(text, "teams/app").unwrap(), ["!127.0.0.1:5000/teams/app"]);
    assert!(hosts(text, "q.example/a/b").unwrap_err().contains("blocks"));
    assert_eq!(hosts(text, "q.example/ab").unwrap(), ["q.example/ab"]);
    assert_eq!(hosts(text, "x.wild.example/i").unwrap(), ["one.example/w/i"]);
    assert_eq!(hosts(text, "wild.example/i").unwrap(), ["wild.example/i"]);
}

#[test]
fn mirrors_come_first_and_may_serve_digests_only() {
    let text = r#"
        [[registry]]
        prefix = "docker.io"
        [[registry.mirror]]
        location = "m1.example"
        insecure = true
        [[registry.mirror]]
        location = "m2.example/hub"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "m3.example"
        pull-from-mirror = "tag-only"
    "#;
    let own = "registry-1.docker.io/a/b";
    assert_eq!(hosts(text, "a/b").unwrap(), ["!m1.example/a/b", "m3.example/a/b", own]);
    let digest = format!("a/b@sha256:{}", "0".repeat(64));
    assert_eq!(hosts(text, &digest).unwrap(), ["!m1.example/a/b", "m2.example/hub/a/b", own]);
}

#[test]
fn broken_files_say_why() {
    assert!(hosts("[registries.search]\nregistries = [\"a\"]", "a").unwrap_err().contains("old form"));
    assert!(hosts("[[registry]]\ninsecure = true", "a").unwrap_err().contains("prefix or a location"));
    assert!(hosts("[[registry]]\nlocation = \"http://x\"", "a").unwrap_err().contains("without http://"));
    assert!(hosts("[[registry]\n", "a").unwrap_err().contains("line 1"));
}
