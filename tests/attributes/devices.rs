//! `devices`, `device_cgroup_rules`, `gpus`, `deploy.resources.reservations.devices`.

use crate::stack::{Stack, refused};

#[test]
fn a_device_node_has_its_place_and_its_permissions() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    devices:
      - /dev/kmsg:/dev/log-of-the-kernel:r
      - { source: /dev/zero, target: /dev/more-zeros, permissions: rw }
    device_cgroup_rules: ["c 1:11 rw"]
"#,
    );
    let type_of = |path: &str| stack.line("web", &format!("stat -c '%F %t:%T' {path}"));
    assert_eq!(type_of("/dev/log-of-the-kernel"), "character special file 1:b");
    assert_eq!(type_of("/dev/more-zeros"), "character special file 1:5");
    stack.inside("web", "head -c 4 /dev/more-zeros").ok();
    stack.down();
}

#[test]
fn a_device_that_no_rule_allows_can_not_be_opened() {
    let stack =
        Stack::up("services:\n  plain: {image: test}\n  free: {image: test, device_cgroup_rules: ['c 10:200 rwm']}\n");
    let open = "mknod /node c 10 200 && head -c 0 /node";
    stack.inside("plain", open).code(1).says("not permitted");
    // A kernel without this driver says so, which is no refusal.
    let free = stack.inside("free", open);
    assert!(!free.stderr.contains("not permitted"), "{}", free.stderr);
    stack.down();
}

#[test]
fn a_device_can_be_opened_as_its_permissions_say() {
    let stack = Stack::new("");
    let node = stack.folder.join("tun");
    stack.world.sh(&format!("mknod {} c 10 200", node.display())).ok();
    let service = |name: &str, permissions: &str| {
        let source = node.display();
        format!(
            "  {name}: {{image: test, devices: [{{source: {source}, target: /dev/x, permissions: {permissions}}}]}}\n"
        )
    };
    stack.write("compose.yaml", &format!("services:\n{}{}", service("reads", "r"), service("both", "rw")));
    stack.run(&["up", "-d"]).ok();
    // A kernel without this driver says so, which is no refusal.
    let refused = |service: &str, open: &str| stack.inside(service, open).stderr.contains("not permitted");
    let (read, write) = ("head -c 0 /dev/x", "echo > /dev/x");
    assert_eq!((refused("reads", read), refused("reads", write)), (false, true));
    assert_eq!((refused("both", read), refused("both", write)), (false, false));
    stack.down();
}

/// A stack on a machine where a file describes devices: their hook writes into the container's root.
fn described(compose: &str) -> Stack {
    let stack = Stack::new(compose);
    stack.world.sh("mount -t tmpfs none /run && mkdir /run/cdi").ok();
    let hook = stack.world.path().join("hook");
    let script = "#!/bin/sh\nroot=$(sed 's/.*\"path\":\"\\([^\"]*\\)\".*/\\1/' config.json)\necho \"$1 $WORD\" > $root/from-the-hook\n";
    std::fs::write(&hook, script).unwrap();
    stack.world.sh(&format!("chmod 755 {}", hook.display())).ok();
    let text = format!(
        r#"
cdiVersion: "0.6.0"
kind: example.com/card
containerEdits: {{ env: [CARDS=yes] }}
devices:
  - name: one
    containerEdits:
      env: [CARD=1]
      deviceNodes: [{{ path: /dev/card1, hostPath: /dev/zero, permissions: rw }}]
      mounts: [{{ hostPath: {folder}, containerPath: /opt/library, options: [ro, rbind] }}]
      hooks:
        - {{ hookName: createContainer, path: {hook}, args: [hook, first], env: [WORD=word, PATH=/bin:/usr/bin] }}
"#,
        folder = stack.folder.display(),
        hook = hook.display()
    );
    std::fs::write("/run/cdi/card.yaml", text).unwrap();
    let gpu = r#"{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [
        {"name": "0", "containerEdits": {"env": ["GPU=0"]}}, {"name": "all", "containerEdits": {"env": ["GPU=all"]}}]}"#;
    std::fs::write("/run/cdi/nvidia.json", gpu).unwrap();
    stack
}

#[test]
fn a_device_by_name_brings_all_that_is_described() {
    let stack = described("services:\n  web: {image: test, devices: ['example.com/card=one']}\n");
    stack.run(&["up", "-d"]).ok();
    let variables = stack.line("web", "cat /proc/1/environ | tr '\\0' '\\n' | grep CARD");
    assert_eq!(variables, "CARDS=yes\nCARD=1");
    stack.inside("web", "head -c 4 /dev/card1; ls /opt/library").ok().says("compose.yaml");
    stack.inside("web", "touch /opt/library/x").code(1);
    assert_eq!(stack.line("web", "cat /from-the-hook"), "first word");
    stack.down();
}

#[test]
fn graphics_processors_are_asked_for_by_number_by_name_or_all() {
    let stack = described(
        r#"
services:
  all: { image: test, gpus: all }
  one: { image: test, gpus: [{ driver: nvidia, count: 1 }] }
  named:
    image: test
    deploy: { resources: { reservations: { devices: [{ capabilities: [gpu], device_ids: ["0"] }] } } }
"#,
    );
    stack.run(&["up", "-d"]).ok();
    for (service, says) in [("all", "GPU=all"), ("one", "GPU=0"), ("named", "GPU=0")] {
        let variable = stack.line(service, "cat /proc/1/environ | tr '\\0' '\\n' | grep GPU");
        assert_eq!(variable, says, "{service}");
    }
    stack.down();
}

#[test]
fn a_device_that_nothing_describes_is_told_with_what_to_do() {
    refused("services:\n  web: {image: test, gpus: all}\n", &["nvidia.com/gpu=all", "nvidia-ctk cdi generate"]);
}

#[test]
fn a_driver_that_there_is_not_is_told_at_its_place() {
    let file = "services:\n  web:\n    image: test\n    gpus: [{driver: other}]\n";
    refused(file, &["compose.yaml:4:", "under the name `other`"]);
}
