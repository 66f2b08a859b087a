use std::time::Duration;

use super::*;

#[test]
fn one_line_a_batch() {
    let line = |count, micros| super::line(&"web".into(), "sync", count, Duration::from_micros(micros));
    assert_eq!(line(1, 1234), "web  sync  1 file  1.2 ms");
    assert_eq!(line(10_000, 1_234_567), "web  sync  10000 files  1234 ms");
}

#[tokio::test]
async fn without_a_rule_there_is_nothing_to_watch() {
    use super::super::fake::{Fake, context};
    let fake = Fake::shop();
    let (output, _, _) = Output::captured(false);
    let cx = context(&fake, &output);
    let error = session::rules_of(&cx, &fake.project, &UpWish::default()).expect_err("no rule");
    assert!(error.to_string().contains("develop.watch"), "{error}");
}
