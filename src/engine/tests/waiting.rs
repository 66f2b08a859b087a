//! What `--wait` waits for, as the loop tells it.

use super::*;

/// What is told of a service without a health check until its process has ended or stays up: who is not up yet, who is broken.
async fn told(life: Life) -> Vec<(Vec<String>, Vec<String>)> {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "job", 1, |_| {});
    rig.host.live("job", life);
    let mut progress = rig.engine.subscribe();
    rig.engine.set_desired(Desired { applied: rig.clock.now(), ..desired });
    rig.wait(60_000).await;
    let mut told = Vec::new();
    while let Ok(progress) = progress.try_recv() {
        if let Progress::Settled(settled) = progress {
            let unready = settled.unready.iter().map(ToString::to_string).collect();
            told.push((unready, settled.broken.into_values().collect()));
        }
    }
    told
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_process_without_a_health_check_is_up_once_it_has_stayed_up_for_a_moment() {
    let up = told(Life::default()).await;
    assert_eq!(up, [(words(&["app-job-1"]), words(&[])), (words(&[]), words(&[]))]);
    let failed = told(Life { ends: Some((300, 4)), ..Life::default() }).await;
    assert_eq!(failed, [(words(&["app-job-1"]), words(&[])), (words(&[]), words(&["app-job-1 exited with 4"]))]);
    let done = told(Life { ends: Some((300, 0)), ..Life::default() }).await;
    assert_eq!(done, [(words(&["app-job-1"]), words(&[])), (words(&[]), words(&[]))]);
}
