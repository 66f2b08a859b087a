use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    let digest = format!("sha256:{}", "0".repeat(64));
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": digest, "size": 10 },
        "layers": [
            { "mediaType": OCI_LAYER, "digest": digest, "size": 1 },
            { "mediaType": format!("{OCI_LAYER}+gzip"), "digest": digest, "size": 1 },
            { "mediaType": format!("{DOCKER_LAYER}.gzip"), "digest": digest, "size": 1 },
            { "mediaType": format!("{OCI_LAYER}+zstd"), "digest": digest, "size": 1 },
        ],
    })
}

fn read(value: &Value, sent_as: Option<&str>) -> Result<Document, String> {
    parse(value.to_string().as_bytes(), sent_as, "x").map_err(|error| error.to_string())
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut manifest = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(parent) = manifest.pointer_mut(parent) {
        parent[key] = value;
    }
    manifest
}

#[test]
fn packings_are_told_by_media_type() {
    let Ok(Document::Manifest(manifest)) = read(&good(), Some("application/vnd.oci.image.manifest.v1+json; charset=x"))
    else {
        panic!("refused")
    };
    let packings: Vec<Packing> = manifest.layers.iter().map(|layer| layer.packing).collect();
    assert_eq!(packings, [Packing::Plain, Packing::Gzip, Packing::Gzip, Packing::Zstd]);
}

#[test]
fn what_is_not_understood_is_refused() {
    let cases = [
        (changed("/schemaVersion", json!(1)), "schema 1"),
        (changed("/schemaVersion", json!("2")), "no valid manifest"),
        (changed("/mediaType", json!(OCI_INDEX)), "not of its media type"),
        (changed("/manifests", json!([])), "both"),
        (changed("/config/mediaType", json!("application/vnd.oci.empty.v1+json")), "artifact"),
        (changed("/config/size", json!(1_u64 << 40)), "more than"),
        (changed("/config/size", json!(-1)), "-1 bytes"),
        (changed("/config/digest", json!("sha256:../../x")), "no digest"),
        (changed("/config/digest", json!(format!("sha256:{}", "A".repeat(64)))), "no digest"),
        (
            changed("/layers", json!([{ "mediaType": "application/vnd.example.wasm", "digest": "x", "size": 1 }])),
            "unknown type",
        ),
        (json!({ "schemaVersion": 2 }), "neither"),
    ];
    for (manifest, expected) in cases {
        let error = read(&manifest, None).err().unwrap_or_default();
        assert!(error.contains(expected), "{manifest}: {error}");
    }
    let error = read(&good(), Some(DOCKER_LIST)).err().unwrap_or_default();
    assert!(error.contains("not of its media type"), "what the registry calls it counts, too: {error}");
}

#[test]
fn indexes_choose_by_platform_and_ignore_attestations() {
    let entry = |digit: &str, platform: Value| json!({ "mediaType": OCI_MANIFEST, "digest": format!("sha256:{}", digit.repeat(64)), "size": 1, "platform": platform });
    let index = json!({ "schemaVersion": 2, "manifests": [
        entry("1", json!({ "os": "linux", "architecture": "arm", "variant": "v6" })),
        entry("2", json!({ "os": "linux", "architecture": "arm", "variant": "v7" })),
        entry("3", json!({ "os": "unknown", "architecture": "unknown" })),
        entry("4", json!({ "os": "linux", "architecture": "amd64" })),
        { "mediaType": "application/x", "digest": "sha256:nothing of ours", "size": 1 },
    ] });
    let Ok(Document::Index(entries)) = read(&index, None) else { panic!("refused") };
    let chosen = |text: &str| {
        let wanted = Platform::parse(text).ok()?;
        choose(&entries, &wanted).map(|entry| entry.target.digest.hex()[..1].to_owned())
    };
    assert_eq!(chosen("linux/arm/v7").as_deref(), Some("2"));
    assert_eq!(chosen("linux/arm/v6").as_deref(), Some("1"));
    assert_eq!(chosen("linux/amd64").as_deref(), Some("4"));
    assert_eq!(chosen("linux/riscv64"), None);
    assert_eq!(offered(&entries), ["linux/amd64", "linux/arm/v6", "linux/arm/v7"]);
}
