//! Instructions per request: Envoy under callgrind, warmed up, counted, read out.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::chain::Chain;
use crate::running::Running;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Requests before counting starts: V8 optimises what is called often.
    pub(crate) warm_up: usize,
    /// Requests counted, in [`WINDOWS`].
    pub(crate) requests: usize,
}

/// Requests are counted in windows of these sizes in turns. What a count has beside them
/// comes with time (a module's ticks, once a second) and is told apart by that: see
/// [`per_request`]. The same for any number of workers: in longer windows time would grow
/// with the requests alone, and nothing would tell them apart.
const WINDOWS: [usize; 2] = [10, 50];

/// Requests between switching callgrind on and the first count: switching drops the
/// code that valgrind has translated.
const SETTLE: usize = 50;

/// Says in one sentence what is missing.
pub(crate) fn require() -> Result<()> {
    for tool in ["valgrind", "callgrind_control"] {
        let found = Command::new(tool).arg("--version").output();
        ensure!(
            found.is_ok_and(|done| done.status.success()),
            "{tool} is missing: install valgrind ('apt-get install valgrind'), it counts the instructions"
        );
    }
    Ok(())
}

/// Instructions per request of this chain, one figure for each number of headers (as
/// few as the chain needs for `None`), all in the same Envoy.
pub(crate) async fn measure(
    name: &str,
    chain: &Chain,
    effort: Effort,
    headers: &[Option<usize>],
) -> Result<Vec<f64>> {
    let dumps = tempfile::tempdir()?;
    let out = dumps.path().join("callgrind.out");
    let running = Running::start(chain, |envoy| {
        envoy
            .command_prefix([
                "valgrind".to_owned(),
                "--tool=callgrind".to_owned(),
                // Starting and warming up need no count: a quarter of the time.
                "--instr-atstart=no".to_owned(),
                // V8 writes code at run time.
                "--smc-check=all-non-file".to_owned(),
                // Requests run on workers; the main thread's timers are not theirs.
                "--separate-threads=yes".to_owned(),
                format!("--callgrind-out-file={}", out.display()),
            ])
            .patience(Duration::from_secs(300))
            // Less of what comes with time.
            .merge(json!({"stats_flush_interval": "299s"}))
    })
    .await
    .context("under valgrind")?;
    let pid = running.pid()?.to_string();
    for &count in headers {
        running.send(effort.warm_up / headers.len(), count).await?;
    }
    control(&["-i", "on", &pid])?;
    let mut figures = Vec::new();
    for &count in headers {
        running.send(SETTLE * chain.workers as usize, count).await?;
        let mut counted = Vec::new();
        let (mut since, mut before) = (Instant::now(), worker_total(&pid, chain.workers)?);
        let mut sent = 0;
        for window in WINDOWS.into_iter().cycle() {
            running.send(window, count).await?;
            let (at, after) = (Instant::now(), worker_total(&pid, chain.workers)?);
            counted.push(Window {
                requests: window as f64,
                seconds: (at - since).as_secs_f64(),
                instructions: (after - before) as f64,
            });
            (since, before) = (at, after);
            sent += window;
            if sent >= effort.requests {
                break;
            }
        }
        figures.push(per_request(&counted));
    }
    if let Ok(folder) = std::env::var("BENCH_KEEP_DUMPS") {
        control(&["-d", &pid])?;
        keep(dumps.path(), Path::new(&folder), name)?;
    }
    // Proofs need no count either.
    control(&["-i", "off", &pid])?;
    running.prove().await?;
    Ok(figures)
}

/// One count.
#[derive(Debug, Clone, Copy)]
struct Window {
    requests: f64,
    seconds: f64,
    instructions: f64,
}

/// The least-squares fit of instructions to so many per request and so many per second:
/// on a slow machine a module ticks more often in the time that a request takes, which
/// is no cost of the request.
fn per_request(windows: &[Window]) -> f64 {
    let sum = |of: fn(&Window) -> f64| windows.iter().map(of).sum::<f64>();
    let requests_squared = sum(|w| w.requests * w.requests);
    let seconds_squared = sum(|w| w.seconds * w.seconds);
    let both = sum(|w| w.requests * w.seconds);
    let by_requests = sum(|w| w.requests * w.instructions);
    let by_seconds = sum(|w| w.seconds * w.instructions);
    let determinant = requests_squared * seconds_squared - both * both;
    (by_requests * seconds_squared - by_seconds * both) / determinant
}

/// The middle value; of an even number the mean of the two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn control(arguments: &[&str]) -> Result<String> {
    let done = Command::new("callgrind_control").args(arguments).output()?;
    ensure!(
        done.status.success(),
        "callgrind_control {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Instructions so far of the worker threads: the busiest ones.
fn worker_total(pid: &str, workers: u32) -> Result<u64> {
    let told = control(&["-e", "Ir", pid])?;
    busiest(&told, workers as usize)
        .with_context(|| format!("callgrind_control does not tell the counts: {told:?}"))
}

/// Sum of the largest counts in lines of the form ` Th 7  774,917`.
fn busiest(told: &str, workers: usize) -> Option<u64> {
    let counts = told.lines().filter_map(|line| {
        let (_, count) = line.trim().strip_prefix("Th ")?.split_once(' ')?;
        count.trim().replace(',', "").parse().ok()
    });
    let mut counts: Vec<u64> = counts.collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    (counts.len() >= workers).then(|| counts.iter().take(workers).sum())
}

/// Copies the dumps for `callgrind_annotate`.
fn keep(from: &Path, to: &Path, row: &str) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = format!("{row} {}", entry.file_name().to_string_lossy());
        std::fs::copy(entry.path(), to.join(name.replace(['/', ' '], "_")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_window_does_not_move_the_figure() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [100.0, 101.0, 100.0, 900.0]), 100.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn what_comes_with_time_is_no_cost_of_a_request() {
        let window = |requests: f64, seconds: f64| Window {
            requests,
            seconds,
            instructions: 150_000.0 * requests + 40_000.0 * seconds,
        };
        let windows = [window(10.0, 1.5), window(50.0, 3.0), window(10.0, 0.9)];
        assert!((per_request(&windows) - 150_000.0).abs() < 1.0);
    }

    #[test]
    fn the_busiest_threads_count() {
        let told = "PID 7: envoy\n\n  Totals:     Ir \n   Th 1  94,662 \n   Th 2   13,502 \n   Th 7  1,774,917 \n";
        assert_eq!(busiest(told, 1), Some(1_774_917));
        assert_eq!(busiest(told, 2), Some(1_774_917 + 94_662));
        assert_eq!(busiest(told, 4), None);
        assert_eq!(busiest("", 1), None);
    }
}
