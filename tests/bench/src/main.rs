//! What a filter costs in a stock Envoy, beside its peers.
//!
//! Times on a shared machine are noise; instructions counted by callgrind repeat
//! to a fraction of a percent. Every row is the same request through the same
//! Envoy with another HTTP filter chain; the figure is what the chain adds to no
//! filter on the same routes. Each chain proves that it did its work before its
//! figure is taken.

mod callgrind;
mod chain;
mod chart;
mod compare;
mod growth;
mod load;
mod ours;
mod peers;
mod results;
mod rows;
mod running;
mod size;
mod table;
mod timing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};

use callgrind::Effort;
use results::{Cost, Series, read, write, write_text};
use rows::Row;

/// Measures what filters cost.
#[derive(Debug, Parser)]
struct Options {
    /// Rows and series to measure, by part of their name; all without it.
    names: Vec<String>,
    /// Parts of the benchmark; all without it, `cost` alone when names are given.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Requests before counting starts, so that V8 has optimised the module.
    #[arg(long, default_value_t = 800)]
    warm_up: usize,
    /// Requests counted.
    #[arg(long, default_value_t = 720)]
    requests: usize,
    /// Where the results go; the blocks of its README.md are filled.
    #[arg(long, default_value = "docs/benchmarks")]
    output: PathBuf,
    /// Further pages whose blocks `<!-- bench:… -->` are filled.
    #[arg(long, default_values = ["README.md", "filters/authz-policy/README.md"])]
    page: Vec<PathBuf>,
    /// Compare a few rows with the committed results instead of writing: fail when one
    /// got dearer by over this share of its own cost, in percent.
    #[arg(long)]
    check: Option<f64>,
    /// Measure nothing; fill the pages and draw the charts from the committed results.
    #[arg(long)]
    draw: bool,
}

/// A busy machine splits what an idle one reads at once, which no filter can help; so
/// only a row that is dear each time has got dearer.
const TRIES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Instructions per request, row by row.
    Cost,
    /// The same as headers, policies, splits, labels and workers grow.
    Growth,
    /// Processor time and latency at a fixed rate.
    Time,
    /// Load time and memory.
    Load,
    /// Bytes of the modules.
    Size,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    if options.draw {
        return draw(&options);
    }
    let effort = Effort {
        warm_up: options.warm_up,
        requests: options.requests,
    };
    if let Some(percent) = options.check {
        callgrind::require()?;
        let path = options.output.join("instructions.json");
        let committed: Cost = read(&path).with_context(|| {
            format!(
                "{} has no results to compare with: run 'make bench'",
                path.display()
            )
        })?;
        let mut names: Vec<String> = match options.names.is_empty() {
            true => rows::CHECKED.iter().map(ToString::to_string).collect(),
            false => options.names,
        };
        let mut complaints = Vec::new();
        for _ in 0..TRIES {
            let now = cost(&names, effort).await?;
            println!("{}", table::cost(&now));
            complaints = compare::compare(&now, &committed, percent);
            if complaints.is_empty() {
                return Ok(());
            }
            names = complaints.iter().map(|(name, _)| name.clone()).collect();
        }
        let why: Vec<String> = complaints.into_iter().map(|(_, why)| why).collect();
        bail!("{}", why.join("; "));
    }
    let does = |part| {
        options.part.contains(&part)
            || options.part.is_empty() && (options.names.is_empty() || part == Part::Cost)
    };
    if does(Part::Cost) || does(Part::Growth) {
        callgrind::require()?;
    }
    let file = |name: &str| options.output.join(name);
    let mut over = Vec::new();
    if does(Part::Size) {
        let sizes = size::run()?;
        println!("{}", table::size(&sizes));
        write(&file("size.json"), &sizes)?;
    }
    if does(Part::Cost) {
        let now = cost(&options.names, effort).await?;
        println!("{}", table::cost(&now));
        over.extend(now.missed().iter().map(ToString::to_string));
        let before = read(&file("instructions.json")).unwrap_or_default();
        write(&file("instructions.json"), &now.over(&before, &rows::all()))?;
    }
    if does(Part::Load) {
        let lines = load::run().await?;
        println!("{}", table::load(&lines));
        write(&file("load.json"), &lines)?;
    }
    if does(Part::Time) {
        let timed = timing::run().await?;
        println!("{}", table::timing(&timed));
        write(&file("time.json"), &timed)?;
    }
    if does(Part::Growth) {
        let series = growth::run(&options.names, effort).await?;
        println!("{}", table::growth(&series));
        let mut whole: Vec<Series> = read(&file("growth.json")).unwrap_or_default();
        whole.retain(|old| {
            !series
                .iter()
                .any(|new| (&new.axis, &new.name) == (&old.axis, &old.name))
        });
        whole.extend(series);
        write(&file("growth.json"), &whole)?;
        let steep = whole.iter().filter(|one| one.axis == "headers");
        let steep = steep.filter(|one| one.per(10).is_some_and(|step| step > table::HEADERS_BOUND));
        over.extend(steep.map(|one| format!("{} with headers", one.name)));
    }
    draw(&options)?;
    eprintln!("written: {}", options.output.display());
    ensure!(over.is_empty(), "over the bound: {}", over.join(", "));
    Ok(())
}

/// Instructions per request of the rows whose names contain one of `names`, and of
/// their baselines.
async fn cost(names: &[String], effort: Effort) -> Result<Cost> {
    let all = rows::all();
    let named =
        |row: &Row| names.is_empty() || names.iter().any(|part| row.name.contains(part.as_str()));
    let needed: Vec<&str> = all
        .iter()
        .filter(|row| named(row))
        .flat_map(|row| [row.name, row.chain.routes.baseline()])
        .collect();
    ensure!(!needed.is_empty(), "no row has such a name");
    let rows: Vec<&Row> = all
        .iter()
        .filter(|row| row.name == rows::BASELINE || needed.contains(&row.name))
        .collect();
    let mut measured = Vec::new();
    // What is counted is instructions and not time, so two rows can be beside each other;
    // under valgrind an Envoy has one processor at a time.
    for pair in rows.chunks(2) {
        let count = async |row: &Row| {
            let figures = callgrind::measure(row.name, &row.chain, effort, &[None])
                .await
                .with_context(|| format!("row {:?}", row.name))?;
            figures.first().copied().context("nothing was counted")
        };
        let figures = match pair {
            [one, other] => <[f64; 2]>::from(tokio::try_join!(count(one), count(other))?).to_vec(),
            [one] => vec![count(one).await?],
            _ => Vec::new(),
        };
        for (row, figure) in pair.iter().zip(figures) {
            eprintln!(
                "[{}/{}] {} … {:.1}k instructions per request",
                measured.len() + 1,
                rows.len(),
                row.name,
                figure / 1000.0
            );
            measured.push((*row, figure));
        }
    }
    Cost::new(&measured)
}

/// Charts and pages, of all results that are there.
fn draw(options: &Options) -> Result<()> {
    let file = |name: &str| options.output.join(name);
    let mut blocks = Vec::new();
    if let Some(cost) = read::<Cost>(&file("instructions.json")) {
        blocks.push(("cost", table::cost(&cost)));
        blocks.push(("beside", table::beside(&cost, "")));
        blocks.push(("authorization", table::beside(&cost, "authorization")));
        write_text(&file("cost.svg"), &chart::bars(&cost)?)?;
    }
    if let Some(series) = read::<Vec<Series>>(&file("growth.json")) {
        for axis in table::axes(&series) {
            let of_axis: Vec<_> = series.iter().filter(|one| one.axis == axis).collect();
            let svg = chart::lines(axis, &of_axis)?;
            write_text(&file(&format!("growth-{axis}.svg")), &svg)?;
        }
        blocks.push(("growth", table::growth(&series)));
    }
    if let Some(timed) = read(&file("time.json")) {
        blocks.push(("time", table::timing(&timed)));
    }
    if let Some(lines) = read::<Vec<load::Loaded>>(&file("load.json")) {
        blocks.push(("load", table::load(&lines)));
    }
    if let Some(sizes) = read(&file("size.json")) {
        blocks.push(("size", table::size(&sizes)));
    }
    let own = file("README.md");
    for page in options.page.iter().chain([&own]) {
        fill(page, &blocks)?;
    }
    Ok(())
}

fn fill(page: &Path, blocks: &[(&str, String)]) -> Result<()> {
    let Ok(before) = std::fs::read_to_string(page) else {
        return Ok(());
    };
    let mut text = before.clone();
    for (name, block) in blocks {
        text = table::fill(&text, name, block).with_context(|| page.display().to_string())?;
    }
    if text != before {
        write_text(page, &text)?;
    }
    Ok(())
}
