use super::*;

fn config(text: &str) -> DockerConfig {
    serde_json::from_str(text).unwrap_or_default()
}

async fn find(text: &str, registry: &str) -> Option<Credentials> {
    config(text).find(registry, &Settings::default()).await.ok().flatten()
}

#[tokio::test]
async fn entries_are_found_under_all_their_names() {
    // "me:pa:ss"
    let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6cGE6c3M="}}}"#;
    let expected = Credentials::Basic { user: "me".into(), password: Secret::new("pa:ss") };
    assert_eq!(find(hub, "docker.io").await, Some(expected.clone()));
    assert_eq!(find(hub, "quay.io").await, None);
    for key in ["r.example:5000", "https://r.example:5000", "http://r.example:5000/v2/"] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"bWU6cGE6c3M="}}}}}}"#);
        assert_eq!(find(&text, "r.example:5000").await, Some(expected.clone()), "{key}");
    }
    let token = r#"{"auths":{"r.example":{"auth":"eDo=","identitytoken":"t"}}}"#;
    assert_eq!(find(token, "r.example").await, Some(Credentials::Identity(Secret::new("t"))));
    let broken = r#"{"auths":{"r.example":{"auth":"not base64"}}}"#;
    assert_eq!(find(broken, "r.example").await, None);
}

#[test]
fn helpers_are_chosen_per_registry() {
    let config = config(r#"{"credsStore":"all","credHelpers":{"gcr.io":"gcr"}}"#);
    assert_eq!((config.helper("gcr.io"), config.helper("quay.io")), (Some("gcr"), Some("all")));
}

#[tokio::test]
async fn a_helper_with_a_path_is_refused() {
    let error = run_helper("../../bin/sh", "get", b"", &Settings::default()).await.err();
    assert!(matches!(error, Some(ImageError::Helper { .. })));
}

#[test]
fn secrets_are_not_printed() {
    let shown = format!(
        "{:?} {:?}",
        Credentials::Identity(Secret::new("canary")),
        config(r#"{"auths":{"x":{"auth":"Y2FuYXJ5"}}}"#)
    );
    assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"));
}
