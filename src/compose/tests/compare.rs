//! Two projects, field by field.

use serde_json::{Value, json};

use crate::compose::compare::compare;

fn dev() -> Value {
    json!({
        "name": "shop",
        "services": {
            "web": {
                "image": "web:1", "command": null, "environment": {"LEVEL": "debug", "PASSWORD": "hunter2"},
                "ports": [{"target": 80, "published": "8080", "protocol": "tcp"}, {"target": 53, "protocol": "udp"}],
                "volumes": [{"type": "bind", "source": "/src", "target": "/app"}],
                "cap_drop": ["ALL"],
            },
            "mail": {"image": "mail:1", "environment": {"KEY": "k3y"}},
        },
        "secrets": {"db": {"environment": "DB_PASSWORD"}},
    })
}

fn prod() -> Value {
    json!({
        "name": "shop",
        "services": {
            "web": {
                "image": "web:2", "environment": {"LEVEL": "info", "PASSWORD": "hunter2", "EXTRA": "x"},
                "ports": [{"target": 80, "published": "80", "protocol": "tcp"}],
                "deploy": {"resources": {"limits": {"cpus": 0.5, "memory": "1073741824"}}},
                "cap_drop": ["ALL", "KILL"], "tmpfs": {},
            },
        },
        "secrets": {"db": {"file": "/run/db"}},
    })
}

fn lines(a: &Value, b: &Value, values: bool) -> String {
    let line = |one: crate::compose::compare::Difference| serde_json::to_string(&one).expect("json");
    compare(a, b, values).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_field_that_differs_is_named_and_what_may_be_secret_is_hidden() {
    let text = lines(&dev(), &prod(), false);
    assert!(!text.contains("hunter2") && !text.contains("k3y") && !text.contains("debug"));
    insta::assert_snapshot!(text);
}

#[test]
fn values_are_shown_when_asked_for_but_never_of_whole_services() {
    let text = lines(&dev(), &prod(), true);
    assert!(text.contains("debug") && !text.contains("k3y"), "{text}");
}

#[test]
fn a_key_without_a_value_says_something_where_keys_are_the_users() {
    let project = |service: Value| json!({ "services": { "web": service } });
    let a = project(json!({ "networks": { "default": null }, "entrypoint": null, "deploy": { "placement": {} } }));
    let b = project(json!({ "networks": { "default": null, "front": null } }));
    assert_eq!(lines(&a, &b, false), r#"{"path":"services.web.networks.front","change":"added","hidden":false}"#);
}

#[test]
fn the_same_is_no_difference_and_both_ways_are_mirrored() {
    assert!(compare(&dev(), &dev(), false).is_empty());
    let (there, back) = (compare(&dev(), &prod(), false), compare(&prod(), &dev(), false));
    assert_eq!(there.len(), back.len());
    assert!(there.iter().zip(&back).all(|(one, other)| one.path == other.path && one.a == other.b));
}
