//! What Ctrl-C does to an attached `up`.

use super::super::fake::{Fake, always_restart, context, exited};
use super::*;
use crate::cli::output::Output;

/// What is stopped with it: the services of the files.
const STOP: &str = r#"Stop { services: {ServiceName("db"), ServiceName("web")}, timeout: None }"#;

async fn up(fake: &Fake, presses: usize) -> (ExitStatus, String) {
    let (output, _, err) = Output::captured(false);
    let (keys, interrupts) = Interrupts::scripted();
    for _ in 0..presses {
        keys.send(()).expect("sent");
    }
    let cx = context(fake, &output);
    let desired = fake.applied.clone().expect("applied");
    let shown = vec!["web".into()];
    let mut attached =
        Attached::new(&cx, &desired, shown, LogStyle::default(), Ends::Last, None, interrupts).expect("attached");
    (attached.run(desired).await.expect("ended"), err.text())
}

#[tokio::test]
async fn the_first_stops_and_the_code_is_130() {
    let fake = Fake::shop();
    let _lines = fake.logs_from();
    let (status, err) = up(&fake, 1).await;
    assert_eq!(status, ExitStatus::INTERRUPTED);
    assert_eq!(fake.asked.borrow()[1..], ["declare until Done", STOP]);
    assert!(err.contains("Gracefully stopping… press Ctrl-C again to kill"), "{err}");
}

#[tokio::test]
async fn the_second_kills() {
    let fake = Fake::shop();
    let _lines = fake.logs_from();
    // The stop never ends by itself.
    let _gate = fake.gate("Stop");
    let (status, err) = up(&fake, 2).await;
    assert_eq!(status, ExitStatus::INTERRUPTED);
    let asked = fake.asked.borrow();
    assert_eq!(asked[2..], [STOP, r#"Kill { services: {ServiceName("db"), ServiceName("web")} }"#]);
    assert!(err.contains("Killing"), "{err}");
}

#[tokio::test]
async fn it_ends_once_all_that_is_shown_has_ended() {
    let mut fake = Fake::shop();
    for container in fake.observed.containers.values_mut().filter(|c| c.spec.service == "web".into()) {
        container.state = exited(4);
    }
    // Nobody closes it: the containers' end is what ends it.
    let _lines = fake.logs_from();
    let (status, err) = up(&fake, 0).await;
    assert_eq!(status, ExitStatus::DONE, "{err}");
    // A container that its policy starts again has not ended.
    always_restart(&mut fake, "shop-web-1");
    let _lines = fake.logs_from();
    let waiting = tokio::time::timeout(Duration::from_millis(300), up(&fake, 0)).await;
    assert!(waiting.is_err(), "it has not waited for the restart");
}
