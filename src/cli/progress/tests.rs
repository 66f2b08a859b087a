//! Goldens of the pictures and lines.

use std::time::Duration;

use super::*;
use crate::cli::output::width;

fn report(kind: Kind, name: &str, phase: Phase, text: &str) -> Report {
    Report::new(kind, name, phase, text)
}

fn board(reports: &[Report]) -> Board {
    let mut board = Board::new("Running");
    for (n, report) in reports.iter().enumerate() {
        board.update(report, Duration::from_millis(100 * n as u64));
    }
    board
}

fn picture(board: &Board, width: usize, height: usize) -> String {
    let style = draw::Style { width, height, frame: 0, color: false };
    let lines = draw::lines(board, Duration::from_secs(3), style);
    assert!(lines.len() < height, "{} lines on a screen of {height}", lines.len());
    assert!(lines.iter().all(|line| width::columns(line) <= width));
    lines.join("\n")
}

fn some() -> Vec<Report> {
    let mut pull = report(Kind::Image, "postgres:17", Phase::Working, "Pulling");
    pull.amount = Some((12_000_000, 130_000_000));
    let mut failed = report(Kind::Container, "shop-web-1", Phase::Failed, "Error");
    failed.detail = Some("port 80 is held by\npid 811 nginx".into());
    vec![
        pull,
        report(Kind::Network, "shop_default", Phase::Done, "Created"),
        report(Kind::Container, "shop-db-1", Phase::Working, "Starting"),
        failed,
        report(Kind::Container, "shop-db-1", Phase::Done, "Started"),
    ]
}

#[test]
fn one_line_per_resource() {
    insta::assert_snapshot!(picture(&board(&some()), 100, 24), @r"
    [+] Running 3/4, 1 failed
     ⠋ Image     postgres:17   Pulling    3.0s  12MB / 130MB
     ✔ Network   shop_default  Created    0.0s
     ✔ Container shop-db-1     Started    0.2s
     ✘ Container shop-web-1    Error      0.0s  port 80 is held by pid 811 nginx
    ");
}

#[test]
fn a_narrow_screen_cuts_the_lines() {
    insta::assert_snapshot!(picture(&board(&some()), 30, 24), @r"
    [+] Running 3/4, 1 failed
     ⠋ Image     postgres:17   Pu…
     ✔ Network   shop_default  Cr…
     ✔ Container shop-db-1     St…
     ✘ Container shop-web-1    Er…
    ");
}

#[test]
fn a_low_screen_shows_what_failed_and_what_is_under_way() {
    let mut reports: Vec<Report> =
        (1..=40).map(|n| report(Kind::Container, &format!("c-{n}"), Phase::Done, "Started")).collect();
    reports[20].phase = Phase::Failed;
    reports[20].text = "Error".into();
    reports[30].phase = Phase::Working;
    reports[30].text = "Starting".into();
    insta::assert_snapshot!(picture(&board(&reports), 60, 7), @r"
    [+] Running 39/40, 1 failed
     ✔ Container c-1   Started     0.0s
     ✔ Container c-2   Started     0.0s
     ✘ Container c-21  Error       0.0s
     ⠋ Container c-31  Starting    0.0s
       … and 36 more
    ");
    for height in 3..50 {
        picture(&board(&reports), 40, height);
    }
}

#[test]
fn off_a_terminal_each_change_is_a_line_and_nothing_is_told_twice() {
    let (output, out, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Auto);
    for report in some() {
        progress.take(&report).expect("written");
        progress.take(&report).expect("written");
    }
    assert_eq!(out.text(), "");
    insta::assert_snapshot!(err.text(), @r"
     Image postgres:17  Pulling
     Network shop_default  Created
     Container shop-db-1  Starting
     Container shop-web-1  Error: port 80 is held by
    pid 811 nginx
     Container shop-db-1  Started
    ");
}

#[test]
fn json_has_docker_composes_keys_and_quiet_tells_failures_only() {
    let (output, _, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Json);
    progress.take(&some()[0]).expect("written");
    insta::assert_snapshot!(err.text(), @r#"{"current":12000000,"id":"Image postgres:17","phase":"working","status":"Pulling","total":130000000}"#);
    let (output, _, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Quiet);
    for report in some() {
        progress.take(&report).expect("written");
    }
    assert_eq!(err.text(), " Container shop-web-1  Error: port 80 is held by\npid 811 nginx\n");
}

#[tokio::test]
async fn what_is_told_last_is_shown_before_the_end() {
    let (output, _, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Plain);
    let work = |tell: Tell| async move {
        tell.report(report(Kind::Network, "n", Phase::Done, "Created"));
        Err::<(), _>(CliError::failed("no"))
    };
    assert!(progress.show("Running", work).await.is_err());
    assert_eq!(err.text(), " Network n  Created\n");
}

#[test]
fn off_a_terminal_a_pull_is_one_line_however_much_of_it_is_known() {
    let (output, _, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Plain);
    for amount in [None, Some((0, 10)), Some((0, 30)), Some((5, 30)), Some((5, 60)), Some((60, 60))] {
        let pull = Report { amount, ..report(Kind::Image, "nginx:alpine", Phase::Working, "Pulling") };
        progress.take(&pull).expect("written");
    }
    progress.take(&report(Kind::Image, "nginx:alpine", Phase::Done, "Pulled")).expect("written");
    assert_eq!(err.text(), " Image nginx:alpine  Pulling\n Image nginx:alpine  Pulled\n");
}

#[test]
fn a_board_that_has_ended_is_not_drawn_again_and_an_empty_one_never() {
    let (output, _, err) = Output::captured(false);
    let mut progress = Progress::new(&output, ProgressMode::Tty);
    progress.begin("Running");
    progress.tick().expect("drawn");
    progress.end().expect("ended");
    assert_eq!(err.text(), "", "nothing was told");
    progress.begin("Running");
    progress.take(&report(Kind::Network, "shop_default", Phase::Done, "Created")).expect("taken");
    progress.end().expect("ended");
    let drawn = err.text();
    assert_eq!(drawn.matches("[+] Running 1/1").count(), 1, "{drawn}");
    // As an attached `up` does for as long as it stays.
    for _ in 0..3 {
        progress.hide().expect("hidden");
        progress.tick().expect("drawn");
    }
    progress.end().expect("ended");
    assert_eq!(err.text(), drawn);
}

#[test]
fn what_is_told_steers_no_terminal() {
    for mode in [ProgressMode::Plain, ProgressMode::Tty, ProgressMode::Json] {
        let (output, _, err) = Output::captured(false);
        let mut progress = Progress::new(&output, mode);
        let detail = Some("cannot run \x1b]0;t\x07".into());
        let failed = report(Kind::Container, "a\x1b[5m", Phase::Failed, "Error");
        progress.take(&Report { detail, ..failed }).expect("written");
        progress.end().expect("ended");
        let (said, escape) = (err.text(), if mode == ProgressMode::Json { "\\u001b" } else { "\\x1b" });
        assert!(said.contains(&format!("a{escape}[5m")) && said.contains(&format!("{escape}]0;t")), "{said}");
        assert!(!said.contains("\x1b[5m") && !said.contains("\x1b]") && !said.contains('\x07'), "{said}");
    }
}
