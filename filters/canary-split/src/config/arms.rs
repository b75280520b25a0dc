//! `arms` and `ramp`.

use std::time::Duration;

use meshpack_sdk::check_value;
use meshpack_sdk::config::{Value, decimal};

use super::read_arm;
use crate::policy::assign::{Hash, Interpolation, Ramp, Share, Step};

/// Most arms of a split.
const MAX_ARMS: usize = 64;
/// Largest weight; flagd's own limit.
const MAX_WEIGHT: f64 = 2_147_483_647.0;
/// Weights are kept as whole millionths.
const MILLION: f64 = 1_000_000.0;

/// Arms as read.
pub(super) struct Arms {
    pub(super) values: Vec<String>,
    /// Of the arms behind the first.
    pub(super) shares: Vec<Share>,
}

#[cold]
pub(super) fn read(value: &Value<'_>, hash: Option<Hash>) -> Option<Arms> {
    let mut seen = Vec::new();
    let arms = value.non_empty_list_of(|arm| {
        let mut fields = arm.object()?;
        let name = fields.required("value").and_then(|name| {
            let text = name.non_empty_string()?;
            if check_value(text.as_bytes()).is_err() || text.trim() != text {
                return name.problem(format!("{text:?} can not be the value of a header"));
            }
            if seen.contains(&text) {
                return name.problem(format!(
                    "{text:?} is the value of two arms: give each its own"
                ));
            }
            seen.push(text);
            Some(text)
        });
        let weight = fields
            .required("weight")
            .and_then(|weight| read_weight(&weight, MAX_WEIGHT));
        Some((name?.to_owned(), weight?))
    })?;
    if arms.len() > MAX_ARMS {
        return value.problem(format!("has {} arms: use at most {MAX_ARMS}", arms.len()));
    }
    if hash == Some(Hash::Unleash) && arms.len() != 2 {
        return value.problem(
            "Unleash's gradual rollout knows on and off only: give two arms, or use hash: flagd",
        );
    }
    let whole: u64 = arms.iter().map(|(_, weight)| weight).sum();
    if whole == 0 {
        return value.problem("every weight is 0: give at least one arm a weight");
    }
    let shares = arms.iter().skip(1);
    let shares = shares.map(|(_, part)| Share { part: *part, whole });
    Some(Arms {
        shares: shares.collect(),
        values: arms.into_iter().map(|(name, _)| name).collect(),
    })
}

/// A weight in millionths.
#[cold]
fn read_weight(value: &Value<'_>, most: f64) -> Option<u64> {
    let weight = value.number(0.0..=most)?;
    let scaled = (weight * MILLION).round();
    if (scaled / MILLION - weight).abs() > 1e-9 * weight.max(1e-3) {
        return value.problem(format!(
            "{} is too fine: use at most six decimals",
            decimal(weight)
        ));
    }
    Some(scaled as u64)
}

#[cold]
pub(super) fn read_ramp(value: &Value<'_>, arms: Option<&Arms>) -> Option<Ramp> {
    let mut fields = value.object()?;
    let values: &[String] = arms.map_or(&[], |arms| &arms.values);
    let arm = fields.required("arm").and_then(|arm| {
        let position = read_arm(&arm, values)?;
        if position == 0 {
            return arm.problem("is the first arm, which gives and takes: ramp another one");
        }
        Some(position)
    });
    let start = fields.required("start").and_then(|start| start.timestamp());
    let interpolation = match fields.get("interpolate") {
        Some(word) => word.one_of(&[
            ("step", Interpolation::Step),
            ("linear", Interpolation::Linear),
        ]),
        None => Some(Interpolation::Step),
    };
    let others = arms.zip(arm).map_or(0, |(arms, arm)| {
        let others = arms.shares.iter().enumerate();
        let others = others.filter(|(at, _)| at + 1 != arm);
        others.map(|(_, share)| share.of(MILLION as u64)).sum()
    });
    let steps = fields
        .required("steps")
        .and_then(|steps| read_steps(&steps, others));
    Some(Ramp {
        arm: arm?,
        start: start?,
        steps: steps?,
        interpolation: interpolation?,
    })
}

/// Steps; `others` is what the arms that do not move hold, in millionths.
#[cold]
fn read_steps(value: &Value<'_>, others: u64) -> Option<Vec<Step>> {
    let mut last: Option<Duration> = None;
    value.non_empty_list_of(|step| {
        let mut fields = step.object()?;
        let after = fields.required("after").and_then(|after| {
            let time = after.duration(Duration::ZERO)?;
            if last.is_some_and(|last| time <= last) {
                return after.problem("comes not after the step before: put the steps in order");
            }
            last = Some(time);
            Some(time)
        });
        let weight = fields.required("weight").and_then(|weight| {
            let scaled = read_weight(&weight, 100.0)?;
            if scaled % 100 != 0 {
                return weight.problem("is too fine: use at most four decimals");
            }
            let percent = scaled / 100;
            if percent + others > MILLION as u64 {
                let room = (MILLION - others as f64) / 10_000.0;
                return weight.problem(format!(
                    "is more than the first arm can give: the other arms leave {} percent",
                    decimal(room)
                ));
            }
            Some(percent)
        });
        Some(Step {
            after: after?,
            weight: weight?,
        })
    })
}
