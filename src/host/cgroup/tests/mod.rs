//! The pure parts; [`kernel`] has what needs control groups.

mod kernel;
mod program;
mod systemd;

use std::collections::BTreeSet;
use std::path::Path;

use super::limits::weight_of_shares;
use super::mounts::{Controller, Mounts, Version};
use super::{DeviceRule, Layout, io, scope};

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 master:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn a_hybrid_is_read_controller_by_controller() {
    let mounts = Mounts::parse(HYBRID);
    let shown: Vec<(Version, &Path, usize)> =
        mounts.hierarchies.iter().map(|one| (one.version, one.top.as_path(), one.controllers.len())).collect();
    assert_eq!(
        shown,
        [
            (Version::V2, Path::new("/sys/fs/cgroup/unified"), 0),
            (Version::V1, Path::new("/sys/fs/cgroup/cpu,cpuacct"), 2),
            (Version::V1, Path::new("/sys/fs/cgroup/memory"), 1),
            (Version::V1, Path::new("/sys/fs/cgroup/systemd"), 0),
        ]
    );
    assert_eq!(mounts.hierarchies[1].controllers, BTreeSet::from([Controller::Cpu, Controller::CpuAcct]));
}

#[test]
fn of_two_mounts_of_a_hierarchy_the_one_that_shows_more_counts() {
    let bind = "50 31 0:32 /docker/abc /var/lib/some\\040where/memory rw - cgroup cgroup rw,memory\n";
    let both = [bind, HYBRID].concat();
    let memory = Mounts::parse(&both).hierarchies.into_iter().find(|one| one.controllers.contains(&Controller::Memory));
    assert_eq!(memory.map(|one| one.top).as_deref(), Some(Path::new("/sys/fs/cgroup/memory")));
    let alone = Mounts::parse(bind);
    assert_eq!(alone.hierarchies[0].top, Path::new("/var/lib/some where/memory"));
}

#[test]
fn lines_that_are_no_mounts_are_passed_over() {
    assert!(Mounts::parse("\nx\n1 2 3\n- - -\n31 23 0:28 / /x rw - cgroup2").hierarchies.is_empty());
}

#[test]
fn systemd_has_a_scope_and_others_a_folder() {
    let mounts = Mounts::parse(HYBRID);
    assert_eq!(Layout::new(mounts.clone(), "shop", true).unit(), Some("windlass-shop.scope"));
    assert_eq!(Layout::new(mounts, "shop", false).unit(), None);
}

#[test]
fn where_systemd_runs_a_container_elsewhere_has_a_scope_in_a_slice() {
    let layout = Layout::new(Mounts::parse(HYBRID), "shop", true);
    let id = "0123456789ab";
    let path = |parent| layout.path_of(id, parent).map(|path| path.to_string_lossy().into_owned());
    assert_eq!(path(None).expect("a path"), "windlass.slice/windlass-shop.scope/0123456789ab");
    assert_eq!(
        path(Some("limits-web.slice")).expect("a path"),
        "limits.slice/limits-web.slice/windlass-shop-0123456789ab.scope/container"
    );
    assert_eq!(path(Some("-.slice")).expect("a path"), "windlass-shop-0123456789ab.scope/container");
    let error = path(Some("/limits/web")).expect_err("no slice").to_string();
    assert!(error.contains("cgroup_parent /limits/web is no name of a slice"), "{error}");
    assert!(layout.scope(id, None).expect("none").is_none());
    let without = Layout::new(Mounts::parse(HYBRID), "shop", false);
    assert!(without.scope(id, Some("limits.slice")).expect("none").is_none());
}

#[test]
fn scopes_of_a_projects_containers_are_found_in_all_slices() {
    let top = tempfile::tempdir().expect("a folder");
    let (mine, id) = ("windlass-shop-0123456789ab.scope", "0123456789ab");
    for path in [
        format!("a.slice/a-b.slice/{mine}/container"),
        "a.slice/windlass-shop-fedcba987654.scope".into(),
        // Another project's, another unit's, what is no id, and what is in no slice.
        "a.slice/windlass-other-0123456789ab.scope/container".into(),
        "windlass.slice/windlass-shop.scope/shims".into(),
        "windlass.slice/windlass-shop-two.scope/shims".into(),
        "system.slice/some.service/windlass-shop-aaaaaaaaaaaa.scope".into(),
    ] {
        std::fs::create_dir_all(top.path().join(path)).expect("a folder");
    }
    let found = scope::search(top.path(), "shop").expect("a walk");
    let expected = [
        (id, format!("a.slice/a-b.slice/{mine}/container")),
        ("fedcba987654", "a.slice/windlass-shop-fedcba987654.scope/container".into()),
    ];
    assert_eq!(found, expected.map(|(id, path)| (id.to_owned(), path.into())).into());
}

#[test]
fn shares_become_weights_with_both_ends_and_the_default_in_place() {
    let pairs = [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)];
    for (shares, weight) in pairs {
        assert_eq!(weight_of_shares(shares), weight, "{shares}");
    }
    assert!(weight_of_shares(512) < 100 && weight_of_shares(2048) > 100);
    assert_eq!([io::weight_of_blkio(10), io::weight_of_blkio(1000), io::weight_of_blkio(0)], [1, 10_000, 1]);
}

#[test]
fn device_rules_are_read_and_written() {
    for text in ["c 1:3 rwm", "b *:* m", "a *:* rw", "c 136:* r"] {
        assert_eq!(DeviceRule::parse(text).map(|rule| rule.to_string()).ok().as_deref(), Some(text));
    }
    for text in ["", "c 1:3", "d 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 r w", "c -1:3 r", "c 1:99999999999 r"] {
        assert!(DeviceRule::parse(text).is_err(), "{text}");
    }
}
