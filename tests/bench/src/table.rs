//! Figures as Markdown, and as blocks of hand-written pages.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::load::Loaded;
use crate::results::{Cost, Series};
use crate::size::Sizes;
use crate::timing::Timed;

/// Writes `text` between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; a page
/// without these marks stays as it is.
pub(crate) fn fill(page: &str, name: &str, text: &str) -> Result<String> {
    let (open, close) = (
        format!("<!-- bench:{name} -->"),
        format!("<!-- /bench:{name} -->"),
    );
    let Some((before, rest)) = page.split_once(&open) else {
        return Ok(page.to_owned());
    };
    let (_, after) = rest
        .split_once(&close)
        .with_context(|| format!("{open} without {close}"))?;
    Ok(format!(
        "{before}{open}\n{}\n{close}{after}",
        text.trim_end()
    ))
}

/// The cost table.
pub(crate) fn cost(cost: &Cost) -> String {
    let mut out = format!(
        "Instructions per request over no filter ({:.1}k) on the same routes, stock Envoy {}, callgrind:\n\n\
         | what | over no filter | share of no filter | at most |\n|---|---:|---:|---:|\n",
        cost.instructions_no_filter / 1000.0,
        cost.envoy,
    );
    for line in cost
        .rows
        .iter()
        .filter(|line| line.name != crate::rows::BASELINE)
    {
        let over = line.instructions_over_no_filter;
        let bound = match (line.at_most, line.met()) {
            (Some(bound), Some(met)) => {
                let verdict = if met { "met" } else { "**missed**" };
                format!("+{:.0}k, {verdict}", bound / 1000.0)
            }
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "| {} | {:+.1}k | {:+.1} % | {bound} |",
            line.name,
            over / 1000.0,
            100.0 * over / cost.instructions_no_filter,
        );
    }
    if let Some(share) = cost.pack_share() {
        let _ = writeln!(
            out,
            "\nThe pack takes {share:.0} % of the same four written plainly on the stock SDK and chained (at most 40 %)."
        );
    }
    out
}

/// The cost of our filters beside the same work done otherwise, for pages that have
/// room for little. `part` keeps the lines whose names begin so.
pub(crate) fn beside(cost: &Cost, part: &str) -> String {
    let mut out = String::from(
        "| instructions per request, over no filter | Envoy itself | Lua | stock SDK | meshpack | at most |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    for (work, names) in crate::rows::BESIDE {
        if !work.starts_with(part) {
            continue;
        }
        let lines = names.map(|name| cost.line(name));
        if lines.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(out, "| {work} |");
        for line in &lines {
            let figure = line.map(|line| line.instructions_over_no_filter);
            let shown = figure.map(|over| format!(" {:+.1}k", over / 1000.0));
            let _ = write!(out, "{} |", shown.unwrap_or_default());
        }
        let bound = lines
            .last()
            .copied()
            .flatten()
            .and_then(|line| line.at_most);
        let shown = bound.map(|bound| format!(" +{:.0}k", bound / 1000.0));
        let _ = writeln!(out, "{} |", shown.unwrap_or_default());
    }
    out
}

/// Growth, one table for each axis.
pub(crate) fn growth(series: &[Series]) -> String {
    let mut out = String::new();
    for axis in axes(series) {
        let of_axis: Vec<_> = series.iter().filter(|one| one.axis == axis).collect();
        let mut sizes: Vec<usize> = of_axis
            .iter()
            .flat_map(|one| &one.points)
            .map(|p| p.0)
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        let _ = write!(out, "| {axis} |");
        sizes.iter().for_each(|size| {
            let _ = write!(out, " {size} |");
        });
        let headers = axis == "headers";
        out.push_str(if headers {
            " per 10 headers (at most +6k) |"
        } else {
            ""
        });
        let _ = write!(
            out,
            "\n|---|{}\n",
            "---:|".repeat(sizes.len() + usize::from(headers))
        );
        for one in of_axis {
            let _ = write!(out, "| {} |", one.name);
            for size in &sizes {
                let point = one.points.iter().find(|point| point.0 == *size);
                let _ = match point {
                    Some((_, over)) => write!(out, " {:+.1}k |", over / 1000.0),
                    None => write!(out, " |"),
                };
            }
            if headers && let Some(step) = one.per(10) {
                let verdict = if step <= HEADERS_BOUND {
                    "met"
                } else {
                    "**missed**"
                };
                let _ = write!(out, " {:+.1}k, {verdict} |", step / 1000.0);
            }
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

/// Most instructions that ten more headers may add to any filter.
pub(crate) const HEADERS_BOUND: f64 = 6000.0;

/// The axes in the order of their first series.
pub(crate) fn axes(series: &[Series]) -> Vec<&str> {
    let mut axes: Vec<&str> = Vec::new();
    for one in series {
        if !axes.contains(&one.axis.as_str()) {
            axes.push(&one.axis);
        }
    }
    axes
}

/// Processor time and latency as ratios to the first line, which is no filter.
pub(crate) fn timing(timed: &Timed) -> String {
    let mut out = format!(
        "{} requests a second for {} s by {}; medians of {} interleaved rounds. Ratios to no filter on this machine:\n\n\
         | what | CPU time | p50 | p99 |\n|---|---:|---:|---:|\n",
        timed.per_second, timed.seconds, timed.tool, timed.rounds,
    );
    let Some(base) = timed.lines.first() else {
        return out;
    };
    for line in &timed.lines {
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.2} |",
            line.name,
            line.cpu_us / base.cpu_us,
            line.p50_us / base.p50_us,
            line.p99_us / base.p99_us,
        );
    }
    let _ = writeln!(
        out,
        "\nNo filter: {:.0} µs of CPU per request, p50 {:.0} µs, p99 {:.0} µs.",
        base.cpu_us, base.p50_us, base.p99_us
    );
    out
}

/// Time to the first request and memory.
pub(crate) fn load(lines: &[Loaded]) -> String {
    let mut out = String::from(
        "| module | first request served after | one worker (3 VMs, V8 itself) | each further worker's VM |\n|---|---:|---:|---:|\n",
    );
    for line in lines {
        let _ = writeln!(
            out,
            "| {} | {:.0} ms | {:+.1} MiB | {:+.1} MiB |",
            line.name, line.first_request_ms, line.first_mib, line.per_vm_mib
        );
    }
    out
}

/// Sizes of the modules.
pub(crate) fn size(sizes: &Sizes) -> String {
    let mut out = String::from("| module | bytes | KiB | at most |\n|---|---:|---:|---:|\n");
    for module in &sizes.modules {
        let kib = module.bytes as f64 / 1024.0;
        let verdict = if kib <= module.at_most_kib {
            "met"
        } else {
            "**missed**"
        };
        let _ = writeln!(
            out,
            "| {} | {} | {kib:.1} | {:.0} KiB, {verdict} |",
            module.name, module.bytes, module.at_most_kib
        );
    }
    // A module near its budget has given its function names up.
    if sizes.regex_bytes > 0 {
        let _ = writeln!(
            out,
            "\nThe regular expressions of `authz_policy` are {:.1} KiB of its code.",
            sizes.regex_bytes as f64 / 1024.0
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{cost as some_cost, line};
    use crate::rows::{PACK, STOCK_CHAINED};

    #[test]
    fn a_page_keeps_everything_outside_its_marks() {
        let page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n";
        let filled = fill(page, "x", "new\n").unwrap();
        assert_eq!(filled, "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb\n");
        assert_eq!(fill(&filled, "x", "new").unwrap(), filled);
        assert_eq!(fill(page, "other", "new").unwrap(), page);
        assert!(fill("<!-- bench:x -->", "x", "new").is_err());
    }

    #[test]
    fn the_table_says_which_bounds_are_met() {
        let text = cost(&some_cost(vec![
            line("no filter", 0.0, None),
            line(PACK, 90_000.0, Some(100_000.0)),
            line(STOCK_CHAINED, 300_000.0, None),
            line("dear", 31_000.0, Some(30_000.0)),
        ]));
        assert!(text.contains("| +90.0k | +60.0 % | +100k, met |"), "{text}");
        assert!(
            text.contains("| dear | +31.0k | +20.7 % | +30k, **missed** |"),
            "{text}"
        );
        assert!(text.contains("30 % of the same four"), "{text}");
        assert!(!text.contains("| no filter |"));
    }

    #[test]
    fn work_stands_beside_the_same_work() {
        let cost = some_cost(vec![
            line(PACK, 90_000.0, Some(100_000.0)),
            line(STOCK_CHAINED, 300_000.0, None),
        ]);
        let text = beside(&cost, "all four");
        assert!(
            text.ends_with("| all four at once | | | +300.0k | +90.0k | +100k |\n"),
            "{text}"
        );
        assert!(
            !beside(&cost, "").contains("canary"),
            "nothing was measured"
        );
    }

    #[test]
    fn growth_leaves_out_sizes_that_a_peer_was_not_measured_at() {
        let series = |axis: &str, name: &str, points: &[(usize, f64)]| Series {
            axis: axis.to_owned(),
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let text = growth(&[
            series("headers", "pack", &[(10, 1000.0), (20, 8000.0)]),
            series("policies", "a", &[(1, 1000.0), (10, 2000.0)]),
            series("policies", "b", &[(1, 3000.0)]),
        ]);
        assert!(
            text.contains("| pack | +1.0k | +8.0k | +7.0k, **missed** |"),
            "{text}"
        );
        assert!(text.contains("| b | +3.0k | |"), "{text}");
    }
}
