//! The ends of processes, as the loop tells them.

use super::*;

/// What is told of containers when `change` is made of one that runs, a word each.
async fn told(change: impl FnOnce(&mut Desired)) -> Vec<String> {
    let rig = Rig::new();
    let mut desired = project();
    service(&mut desired, "web", 1, |_| {});
    rig.apply(desired.clone()).await;
    let mut progress = rig.engine.subscribe();
    desired.generation += 1;
    change(&mut desired);
    rig.apply(desired).await;
    rig.is_sound();
    let mut told = Vec::new();
    while let Ok(progress) = progress.try_recv() {
        match progress {
            Progress::Began { step } if step.action == "stop container" => told.push("stopping".to_owned()),
            Progress::Done { step, .. } => told.push(step.action),
            Progress::Exited { again, .. } => {
                told.push(if again { "ended, to come again" } else { "ended" }.to_owned())
            }
            _ => {}
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn the_end_of_what_a_plan_stops_and_removes_is_told_before_that() {
    let gone = told(|desired| desired.containers.clear()).await;
    assert_eq!(gone[..4], ["stopping", "ended", "stop container", "remove container"]);
    let anew = told(|desired| {
        let web = desired.containers.values_mut().next().expect("one");
        web.spec.env.push("A=2".into());
        web.hash = web.spec.hash();
    });
    let expected = ["stopping", "ended, to come again", "stop container", "remove container", "create container"];
    assert_eq!(anew.await[..5], expected);
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_once() {
    let stopped = told(|desired| desired.containers.values_mut().for_each(|web| web.target = Target::Stopped)).await;
    assert_eq!(stopped.iter().filter(|word| *word == "ended").count(), 1, "{stopped:?}");
}
