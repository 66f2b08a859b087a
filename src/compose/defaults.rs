//! Values that stand for absent ones, before checks that look at several attributes (spec.md section 1, step 6).

use super::node::{Kind, Node};

/// Sets the defaults of every service.
pub fn set(tree: &mut Node) {
    let Some(Kind::Map(services)) = tree.get_mut("services").map(|services| &mut services.kind) else { return };
    for service in services.values_mut() {
        if let Some(build) = service.get_mut("build") {
            entry(build, "context", ".");
        }
        secrets(service);
        for port in list(service, "ports") {
            entry(port, "protocol", "tcp");
            entry(port, "mode", "ingress");
        }
        list(service, "gpus").iter_mut().for_each(count);
        let reservations =
            service.get_mut("deploy").and_then(|d| d.get_mut("resources")).and_then(|r| r.get_mut("reservations"));
        if let Some(reservations) = reservations {
            list(reservations, "devices").iter_mut().for_each(count);
        }
    }
}

fn list<'a>(node: &'a mut Node, key: &str) -> &'a mut [Node] {
    node.get_mut(key).and_then(Node::as_list_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn entry(node: &mut Node, key: &str, value: &str) {
    let value = Node::text_like(node, value);
    if let Kind::Map(map) = &mut node.kind {
        map.entry(key.to_owned()).or_insert(value);
    }
}

fn secrets(node: &mut Node) {
    for secret in list(node, "secrets") {
        let target = secret.get_str("source").map(|source| format!("/run/secrets/{source}"));
        if let Some(target) = target {
            entry(secret, "target", &target);
        }
    }
}

/// All devices, when neither their number nor their names are given.
fn count(device: &mut Node) {
    let all = Node::text_like(device, "all");
    if let Kind::Map(map) = &mut device.kind
        && !map.contains_key("device_ids")
    {
        map.entry("count".to_owned()).or_insert(all);
    }
}
