//! `abort`.

use std::time::Duration;

use meshpack_sdk::config::Value;

use super::read_arm;
use crate::policy::abort::{AbortConfig, FailureClasses};

#[cold]
pub(super) fn read(value: &Value<'_>, arms: &[String]) -> Option<AbortConfig> {
    let mut fields = value.object()?;
    let arm = fields.required("arm").and_then(|arm| read_arm(&arm, arms));
    let baseline = fields.required("baseline").and_then(|baseline| {
        let position = read_arm(&baseline, arms)?;
        if Some(position) == arm {
            return baseline.problem("is the canary itself: name the arm it is compared with");
        }
        Some(position)
    });
    let failures = match fields.get("failures") {
        Some(list) => read_failures(&list),
        None => Some(FailureClasses {
            server_errors: true,
            resets: true,
            grpc: true,
        }),
    };
    let false_positive_rate = fields
        .get("falsePositiveRate")
        .map_or(Some(1e-6), |rate| rate.number(1e-12..=0.1));
    let min_effect = fields
        .get("minEffect")
        .map_or(Some(2.0), |effect| effect.number(1.0..=1000.0));
    let cooldown = fields
        .get("cooldown")
        .map_or(Some(Duration::from_secs(600)), |cooldown| {
            cooldown.duration(Duration::from_secs(1))
        });
    Some(AbortConfig {
        arm: arm?,
        baseline: baseline?,
        failures: failures?,
        false_positive_rate: false_positive_rate?,
        min_effect: min_effect?,
        cooldown: cooldown?,
    })
}

#[cold]
fn read_failures(value: &Value<'_>) -> Option<FailureClasses> {
    #[derive(Clone, Copy)]
    enum Class {
        ServerErrors,
        Resets,
        Grpc,
    }
    let words = [
        ("5xx", Class::ServerErrors),
        ("reset", Class::Resets),
        ("grpc", Class::Grpc),
    ];
    let mut classes = FailureClasses::default();
    for class in value.non_empty_list_of(|item| item.one_of(&words))? {
        match class {
            Class::ServerErrors => classes.server_errors = true,
            Class::Resets => classes.resets = true,
            Class::Grpc => classes.grpc = true,
        }
    }
    Some(classes)
}
