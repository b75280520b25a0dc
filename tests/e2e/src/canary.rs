//! Traffic splits for the end-to-end tests: a proxy whose arms answer with their
//! name, and the bucketing of flagd and Unleash in an implementation that has
//! nothing in common with the filter's.

use std::collections::BTreeMap;
use std::io::Cursor;

use meshpack_harness::{
    Client, Cluster, Envoy, EnvoyBuilder, Listener, Outcomes, Request, Route, Upstream, WasmFilter,
    wasm_module,
};
use serde_json::{Value, json};

/// The steering header.
pub const HEADER: &str = "x-meshpack-subset";

/// A split of `host` with the arms v1 and v2, sticky by `x-user-id`; `more`
/// overrides and adds.
#[must_use]
pub fn split(host: &str, weights: [f64; 2], more: Value) -> Value {
    let mut split = json!({
        "name": host,
        "match": {"hosts": [host]},
        "salt": "salt",
        "arms": [{"value": "v1", "weight": weights[0]}, {"value": "v2", "weight": weights[1]}],
        "stickyBy": [{"header": "x-user-id"}],
    });
    replace(&mut split, more);
    split
}

/// Sets the keys of `more` in `object`; lists are replaced, not extended.
///
/// # Panics
/// When one of them is not an object.
pub fn replace(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        panic!("not an object: {more}");
    };
    for (key, value) in more {
        object[key] = value;
    }
}

/// The filter with these splits.
///
/// # Panics
/// When the module has not been built.
#[must_use]
pub fn filter(splits: &[Value]) -> WasmFilter {
    let module = wasm_module("canary_split").expect("make build builds the module");
    WasmFilter::new("canary_split", module).config(&json!({"header": HEADER, "splits": splits}))
}

/// Routes by the steering header; each arm is a direct response with its name,
/// requests without the header get `default`.
#[must_use]
pub fn answering(filter: WasmFilter) -> EnvoyBuilder {
    Envoy::builder().listener(
        Listener::new("in")
            .filter(filter)
            .route(Route::direct(200, "v2").when_header(HEADER, "v2"))
            .route(Route::direct(200, "v3").when_header(HEADER, "v3"))
            .route(Route::direct(200, "v1").when_header(HEADER, "v1"))
            .route(Route::direct(200, "default")),
    )
}

/// Routes by the steering header to two upstreams; `v1` is the default.
#[must_use]
pub fn steering(filter: WasmFilter, v1: &Upstream, v2: &Upstream) -> EnvoyBuilder {
    Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(filter)
                .route(Route::to("v2").when_header(HEADER, "v2"))
                .route(Route::to("v1")),
        )
        .cluster(Cluster::new("v1").endpoint(v1.address()))
        .cluster(Cluster::new("v2").endpoint(v2.address()))
}

/// A request of a user to a host.
#[must_use]
pub fn by(user: &str, host: &str) -> Request {
    Request::get("/").authority(host).header("x-user-id", user)
}

/// The arm that answers, for proxies made by [`answering`].
///
/// # Panics
/// When there is no answer.
pub async fn arm(client: &Client, request: Request) -> String {
    let answer = client.send(request).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The arm of each of `ids`, for proxies made by [`answering`].
///
/// # Panics
/// When a request has no answer.
pub async fn arms(client: &Client, ids: &[String], host: &str) -> Vec<String> {
    let (ids, host) = (ids.to_vec(), host.to_owned());
    let outcomes = client
        .load(ids.len(), 32, move |index| by(&ids[index], &host))
        .await;
    texts(&outcomes)
}

/// The bodies, in the order of the requests.
///
/// # Panics
/// When a request has no answer.
#[must_use]
pub fn texts(outcomes: &Outcomes) -> Vec<String> {
    let by_index: BTreeMap<usize, String> = outcomes
        .iter()
        .map(|outcome| {
            let answer = outcome.result.as_ref().expect("an answer");
            (outcome.index, answer.text())
        })
        .collect();
    by_index.into_values().collect()
}

/// `count` user ids.
#[must_use]
pub fn ids(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("user-{id}")).collect()
}

/// How many of `arms` are `arm`.
#[must_use]
pub fn of(arms: &[String], arm: &str) -> usize {
    arms.iter().filter(|found| *found == arm).count()
}

/// The arm by flagd's `fractional` over `salt + id` with two variants.
///
/// # Panics
/// Never.
#[must_use]
pub fn flagd(salt: &str, id: &str, weights: [u64; 2]) -> &'static str {
    let text = format!("{salt}{id}");
    let hash = murmur3::murmur3_32(&mut Cursor::new(text), 0).expect("memory can be read");
    let bucket = (u64::from(hash) * (weights[0] + weights[1])) >> 32;
    if bucket < weights[0] { "v1" } else { "v2" }
}

/// The arm by Unleash's gradual rollout of `percent` in the group `salt`.
///
/// # Panics
/// Never.
#[must_use]
pub fn unleash(salt: &str, id: &str, percent: u32) -> &'static str {
    let text = format!("{salt}:{id}");
    let hash = murmur3::murmur3_32(&mut Cursor::new(text), 0).expect("memory can be read");
    if hash % 100 < percent { "v2" } else { "v1" }
}

/// A time since the Unix epoch as RFC 3339 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
#[must_use]
pub fn timestamp(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
