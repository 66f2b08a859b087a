#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::desired::*;

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "p-web-1".into(),
        number: 1,
        image: ImageSpec { name: "app:1".into(), id: "sha256:0123456789abcdef".into(), ..ImageSpec::default() },
        argv: vec!["serve".into()],
        env: vec!["TOKEN=hush".into()],
        endpoints: vec![EndpointSpec {
            network: "p_default".into(),
            aliases: vec!["p-web-1".into(), "web".into()],
            ipv4: Some(Ipv4Addr::new(172, 17, 0, 2)),
            ..EndpointSpec::default()
        }],
        ..ContainerSpec::default()
    }
}

/// The causes after `change`; the hash must differ exactly when there are some.
fn after(change: impl Fn(&mut ContainerSpec)) -> Vec<String> {
    let (old, mut new) = (spec(), spec());
    change(&mut new);
    let causes = changes(&old, &new);
    assert_eq!(causes.is_empty(), old.hash() == new.hash(), "{causes:?}");
    causes
}

#[test]
fn each_change_is_named() {
    let port = PortSpec { host_ip: None, published: 8080, published_end: 8080, target: 80, protocol: Protocol::Tcp };
    let mount = |read_only| MountSpec {
        target: "/data".into(),
        source: MountSource::Volume { name: "p_data".into(), subpath: String::new(), copy: true },
        read_only,
    };
    assert_eq!(after(|spec| spec.image.name = "app:2".into()), ["image app:1→app:2"]);
    assert_eq!(after(|spec| spec.image.id = "sha256:ffff".into()), ["image app:1 0123456789ab→ffff"]);
    assert_eq!(after(|spec| spec.argv.push("-x".into())), ["command changed"]);
    assert_eq!(after(|spec| spec.user = "root".into()), ["user none→root"]);
    assert_eq!(after(|spec| spec.cwd = "/x".into()), ["working_dir none→/x"]);
    assert_eq!(after(|spec| spec.ports.push(port.clone())), ["ports 8080:80 added"]);
    assert_eq!(after(|spec| spec.mounts.push(mount(true))), ["mounts /data added"]);
    assert_eq!(after(|spec| spec.resources.memory = Some(5)), ["resources.memory none→5"]);
    assert_eq!(after(|spec| spec.security.capabilities.push("KILL".into())), ["cap_add KILL added"]);
    assert_eq!(after(|spec| spec.security.privileged = true), ["security_opt.privileged false→true"]);
    assert_eq!(after(|spec| spec.endpoints.clear()), ["network p_default removed"]);
    assert_eq!(after(|spec| spec.endpoints[0].aliases.push("www".into())), ["network p_default aliases changed"]);
    assert_eq!(after(|spec| drop(spec.sysctls.insert("a".into(), "1".into()))), ["sysctls.a none→1"]);
    assert_eq!(after(|spec| spec.log.max_file = 9), ["logging.max_file 3→9"]);
}

#[test]
fn values_of_environment_labels_and_secrets_are_not_shown() {
    assert_eq!(
        after(|spec| spec.env = vec!["TOKEN=new".into(), "X=1".into()]),
        ["environment.TOKEN changed", "environment.X added"]
    );
    assert_eq!(after(|spec| drop(spec.labels.insert("auth".into(), "hash".into()))), ["labels.auth added"]);
    let file = |content: &str, value: &str| FileSpec {
        target: "/run/secrets/key".into(),
        name: "key".into(),
        source: FileSource::Inline { value: Secret(value.into()) },
        content: content.into(),
        uid: None,
        gid: None,
        mode: None,
    };
    let (mut old, mut new) = (spec(), spec());
    old.files.push(file("aa", "hush"));
    new.files.push(file("bb", "secret"));
    assert_eq!(changes(&old, &new), ["secret `key` content changed"]);
    assert_eq!(changes(&spec(), &new), ["secret `key` added"]);
}

#[test]
fn nothing_is_made_anew_for_what_docker_would_not() {
    assert!(
        after(|spec| (spec.name, spec.number) = ("p-web-2".into(), 2)).len() == 1,
        "the alias of the old name is left"
    );
    let renamed = |spec: &mut ContainerSpec| {
        spec.name = "p-web-2".into();
        spec.number = 2;
        spec.endpoints[0].aliases[0] = "p-web-2".into();
    };
    assert!(after(renamed).is_empty());
    assert!(after(|spec| spec.endpoints[0].ipv4 = Some(Ipv4Addr::new(172, 17, 0, 9))).is_empty());
    assert!(after(|spec| drop(spec.labels.insert("com.docker.compose.depends_on".into(), "x".into()))).is_empty());
    assert!(after(|spec| spec.stop.signal = 2).is_empty());
    assert!(after(|spec| spec.image.manifest = "sha256:other".into()).is_empty());
}

#[test]
fn an_address_of_the_file_counts() {
    let (mut old, mut new) = (spec(), spec());
    (old.endpoints[0].fixed, new.endpoints[0].fixed) = (true, true);
    new.endpoints[0].ipv4 = Some(Ipv4Addr::new(172, 17, 0, 9));
    assert_eq!(changes(&old, &new), ["network p_default ipv4 172.17.0.2→172.17.0.9"]);
}

#[test]
fn the_hash_is_the_same_for_every_build() {
    // A change here makes every container of every user anew at the next `up`: raise the version for a reason only.
    assert_eq!(spec().hash(), "79075333ece9638c78253d4147945134468f737d17cfab9c3e5e2c55c6285ec6");
}

proptest! {
    /// Any two environments and port lists: equal hashes mean no causes, and the other way round.
    #[test]
    fn causes_and_hashes_agree(
        one in prop::collection::btree_map("[A-C]", "[x-z]{0,2}", 0..4),
        two in prop::collection::btree_map("[A-C]", "[x-z]{0,2}", 0..4),
        ports in prop::collection::vec(1u16..4, 0..3),
        others in prop::collection::vec(1u16..4, 0..3),
    ) {
        let make = |env: &BTreeMap<String, String>, ports: &[u16]| {
            let mut spec = spec();
            spec.env = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let port = |n: &u16| PortSpec { host_ip: None, published: *n, published_end: *n, target: *n, protocol: Protocol::Tcp };
            spec.ports = ports.iter().map(port).collect();
            spec
        };
        let (old, new) = (make(&one, &ports), make(&two, &others));
        let causes = changes(&old, &new);
        prop_assert_eq!(causes.is_empty(), old.hash() == new.hash());
        prop_assert_eq!(causes.is_empty(), old == new);
    }
}
