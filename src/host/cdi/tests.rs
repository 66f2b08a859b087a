#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use super::*;
use crate::desired::MountSource;

const CARD: &str = r#"
cdiVersion: "0.6.0"
kind: example.com/card
containerEdits:
  env: [CARDS=yes]
devices:
  - name: one
    containerEdits:
      env: [CARD=1]
      deviceNodes:
        - { path: /dev/card1, hostPath: /dev/null }
        - { path: /dev/made, type: c, major: 1, minor: 5, permissions: r, fileMode: 384, uid: 5 }
      mounts:
        - { hostPath: /usr/share, containerPath: /opt/share, options: [ro, rbind, nosuid] }
      hooks:
        - { hookName: createContainer, path: /bin/true, args: ["true", now], timeout: 3 }
      additionalGids: [0, 44]
  - name: 2
    containerEdits: { hooks: [{ hookName: poststop, path: /bin/true }] }
"#;

fn devices(names: &[&str]) -> ContainerSpec {
    ContainerSpec { cdi: names.iter().map(ToString::to_string).collect(), ..ContainerSpec::default() }
}

#[test]
fn a_device_brings_nodes_mounts_variables_groups_and_hooks() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("card.yaml"), CARD).unwrap();
    let mut spec = devices(&["example.com/card=one"]);
    spec.env = vec!["CARD=0".into()];
    let hooks = apply(&mut spec, &[folder.path()]).unwrap();
    assert_eq!(spec.env, ["CARDS=yes", "CARD=1"]);
    assert_eq!(spec.groups, ["44"]);
    assert_eq!((spec.devices[0].source.as_path(), spec.devices[0].node.is_none()), (Path::new("/dev/null"), true));
    let node = spec.devices[1].node.unwrap();
    assert_eq!((node.major, node.minor, node.mode, node.uid, node.gid), (1, 5, 0o600, 5, 0));
    assert_eq!(spec.devices[1].permissions, "r");
    let MountSource::Bind { path, recursive, create, .. } = &spec.mounts[0].source else { panic!("{spec:?}") };
    assert_eq!((path.as_path(), *recursive, *create), (Path::new("/usr/share"), true, false));
    assert!(spec.mounts[0].read_only);
    assert_eq!((hooks[0].args.as_slice(), hooks[0].timeout), (&["true".to_owned(), "now".to_owned()][..], Some(3)));
}

#[test]
fn a_later_folder_counts_and_two_files_of_one_folder_may_not_disagree() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let json = |value: &str| {
        format!(
            r#"{{"cdiVersion": "0.5.0", "kind": "x.org/y", "devices": [{{"name": "z", "containerEdits": {{"env": ["A={value}"]}}}}]}}"#
        )
    };
    fs::write(one.path().join("a.json"), json("early")).unwrap();
    fs::write(other.path().join("a.json"), json("late")).unwrap();
    let mut spec = devices(&["x.org/y=z"]);
    apply(&mut spec, &[one.path(), other.path()]).unwrap();
    assert_eq!(spec.env, ["A=late"]);
    fs::write(one.path().join("b.json"), json("twice")).unwrap();
    let error = apply(&mut devices(&["x.org/y=z"]), &[one.path()]).unwrap_err().to_string();
    assert!(error.contains("described twice"), "{error}");
}

#[test]
fn what_is_not_there_or_not_possible_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str| apply(&mut devices(&[name]), &[folder.path()]).unwrap_err().to_string();
    assert!(told("nvidia.com/gpu=all").contains("no file in /etc/cdi"), "{}", told("nvidia.com/gpu=all"));
    assert!(told("nvidia.com/gpu=all").contains("nvidia-ctk cdi generate"));
    fs::write(folder.path().join("card.yaml"), CARD).unwrap();
    assert!(told("example.com/card=3").contains("example.com/card=2, example.com/card=one"));
    assert!(told("example.com/card=2").contains("a hook `poststop`"));
    fs::write(folder.path().join("bad.yaml"), "kind: [").unwrap();
    assert!(told("example.com/card=one").contains("bad.yaml"));
}
