//! What `--wait` waits for, as the loop tells it.

use std::collections::BTreeSet;

use super::*;
use crate::desired::edit::{Edit, edit};
use crate::name::{ContainerName, ServiceName};

/// What is told of a service without a health check until its process has ended or stays up: who is not up yet, who is broken.
async fn told(life: Life) -> Vec<(Vec<String>, Vec<String>)> {
    told_with(RestartPolicy::No, life).await
}

async fn told_with(policy: RestartPolicy, life: Life) -> Vec<(Vec<String>, Vec<String>)> {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "job", 1, |c| c.restart = policy);
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

#[tokio::test(start_paused = true)]
async fn what_ends_again_and_again_has_failed_after_a_while() {
    let quick = Life { ends: Some((20, 3)), ..Life::default() };
    let told = told_with(RestartPolicy::Always, quick).await;
    let (last, before) = told.split_last().unwrap();
    assert_eq!(last.1, ["app-job-1 exited with 3, 10 times in a row"], "it goes on");
    assert!(before.contains(&(words(&[]), words(&["app-job-1 exited with 3, 8 times in a row"]))), "{before:?}");
    let few = Life { crashes: 7, ..Life::default() };
    let told = told_with(RestartPolicy::Always, few).await;
    assert!(told.iter().all(|(_, broken)| broken.is_empty()), "{told:?}");
    assert_eq!(told.last(), Some(&(words(&[]), words(&[]))), "it stays up in the end");
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_was_not_asked_for_keeps_nobody() {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "db", 1, |c| c.health = Some(health()));
    service(&mut desired, "web", 1, |c| c.depends_on.push(needs("db", Condition::ServiceHealthy)));
    rig.host.live("db", Life { healthy: None, ..Life::default() });
    rig.engine.set_desired(Desired { applied: rig.clock.now(), ..desired });
    rig.wait(500).await;
    let held = rig.engine.desired().unwrap();
    let down = [ContainerName::from("app-web-1")].into();
    let paused = edit(&held, &Edit::Pause { services: BTreeSet::new(), down }, &rig.clock.now()).unwrap();
    assert_eq!(rig.apply(paused.clone()).await.failures, Vec::<String>::new());
    assert!(rig.left().contains("web-1"), "the `up` goes on waiting: {}", rig.left());
    let thawed = edit(&paused, &Edit::Unpause { services: BTreeSet::new() }, &rig.clock.now()).unwrap();
    assert_eq!(rig.apply(thawed.clone()).await.failures, Vec::<String>::new());
    let stop = Edit::Stop { services: [ServiceName::from("db")].into(), timeout: None };
    let stopped = edit(&thawed, &stop, &rig.clock.now()).unwrap();
    assert_eq!(rig.apply(stopped).await.failures, Vec::<String>::new());
    rig.is_sound();
}
