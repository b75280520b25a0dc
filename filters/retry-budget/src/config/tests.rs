use super::*;
use meshpack_sdk::config;

fn read(json: &str) -> Result<Config, Vec<String>> {
    config::parse(json.as_bytes(), |value| Config::read(&value))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn a_budget_without_fields_has_the_defaults_of_gep_3388() {
    let config = read(r#"{"budgets": [{"name": "all"}]}"#).unwrap();
    let budget = &config.budgets[0];
    assert_eq!(
        budget.terms,
        Terms {
            share: Share::of_requests(Percent::whole(20).unwrap()),
            interval: Duration::from_secs(10),
            floor: Floor {
                count: 10,
                interval: Duration::from_secs(1)
            },
        }
    );
    assert_eq!((budget.key, budget.mode), (Key::Name, Mode::Reserve));
    assert_eq!(budget.max_retries, 2);
    assert_eq!(budget.when_exhausted, WhenExhausted::Upstream);
    assert_eq!(budget.retry_on, None);
    assert!(!config.stop_amplification);
}

#[test]
fn every_field_is_read() {
    let config = read(
        r#"{
        "budgets": [{
            "name": "payments", "match": {"hosts": ["payments*"]}, "key": "cluster",
            "budget": {"percent": 12.5, "interval": "5s"},
            "minRetryRate": {"count": 3, "interval": "2s"},
            "maxRetries": 1, "retryOn": ["5xx", "reset", "unavailable", 409, "425"],
            "perTryTimeout": "2s", "timeout": "6s", "mode": "settle", "whenExhausted": 503
        }],
        "server": {"maxRetryPercent": 20, "interval": "10s", "minRetryRate": {"count": 1},
            "trustAttemptCount": "always", "maxSourcePercent": 50},
        "stopAmplification": true
    }"#,
    )
    .unwrap();
    let budget = &config.budgets[0];
    assert_eq!(budget.key, Key::Cluster);
    assert_eq!(budget.terms.share.earns, 12_500);
    assert_eq!(budget.terms.floor.count, 3);
    let retry_on = budget.retry_on.as_ref().unwrap();
    assert_eq!(retry_on.http, "5xx,reset,retriable-status-codes");
    assert_eq!(retry_on.grpc, "unavailable");
    assert_eq!(retry_on.status_codes, "409,425");
    assert_eq!(
        (budget.per_try_timeout, budget.timeout),
        (Some(2000), Some(6000))
    );
    assert_eq!(budget.mode, Mode::Settle);
    assert_eq!(budget.when_exhausted, WhenExhausted::Unavailable);
    let server = config.server.unwrap();
    let share = server.terms.share;
    assert_eq!((share.earns, share.costs), (20_000, 80_000));
    assert_eq!(
        (server.trust, server.max_source_percent),
        (Trust::Always, 50)
    );
    assert!(config.stop_amplification);
}

#[test]
fn every_problem_is_reported_with_its_path() {
    let problems = read(
        r#"{
        "budgets": [
            {"name": "server", "budget": {"percent": 1000.5, "interval": "20ms"}, "key": "route"},
            {"name": "a", "minRetryRate": {"count": -1, "interval": "2h"}, "maxRetries": 1.5},
            {"name": "a", "retryOn": ["5xx", "503x", 42], "perTryTimeout": "6s", "timeout": "6s"},
            {"budget": {"percent": 0.12345}, "mode": "fast", "whenExhausted": 429, "retries": 2}
        ],
        "server": {"interval": "10s", "maxRetryPercent": 101},
        "stopAmplification": "yes"
    }"#,
    )
    .unwrap_err();
    let expected = [
        r#"budgets[0].name: "server" is the metric label of the server side: choose another name"#,
        r#"budgets[0].key: "route" is not one of name, cluster, host"#,
        "budgets[0].budget.percent: 1000.5 is out of range: use a number from 0 to 1000",
        r#"budgets[0].budget.interval: "20ms" is too short: use at least 100ms"#,
        "budgets[1].minRetryRate.count: -1 is out of range: use a whole number from 0 to 1000000",
        r#"budgets[1].minRetryRate.interval: is longer than an hour: use at most "1h""#,
        "budgets[1].maxRetries: 1.5 is not a whole number from 0 to 100",
        r#"budgets[2].retryOn[1]: "503x" is not a retry condition: use 5xx, gateway-error, reset, reset-before-request, connect-failure, envoy-ratelimited, retriable-4xx, refused-stream, retriable-status-codes, retriable-headers, http3-post-connect-failure, cancelled, deadline-exceeded, internal, resource-exhausted, unavailable or a status code"#,
        "budgets[2].retryOn[2]: 42 is not an HTTP status code",
        "budgets[2].perTryTimeout: is not shorter than timeout, so no second attempt could begin: Envoy would ignore it",
        "budgets[3].name: is required",
        "budgets[3].budget.percent: 0.12345 has more than three decimals, which can not be kept exactly",
        r#"budgets[3].mode: "fast" is not one of reserve, settle"#,
        "budgets[3].whenExhausted: is neither upstream nor 503",
        "budgets[3].retries: unknown key; known keys here: name, match, key, budget, minRetryRate, maxRetries, retryOn, perTryTimeout, timeout, mode, whenExhausted",
        "server.maxRetryPercent: 101 is out of range: use a number from 0 to 100",
        "stopAmplification: is a string, must be true or false",
        r#"budgets[2]: "a" is the name of an earlier budget: give each its own name"#,
    ];
    for line in expected {
        assert!(
            problems.iter().any(|problem| problem == line),
            "missing: {line}\nin {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn an_empty_configuration_is_valid_and_does_nothing() {
    let config = read("").unwrap();
    assert!(config.budgets.is_empty() && config.server.is_none());
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = read(&text);
    }
}

/// Configurations that say something about one rule each.
#[cfg(not(target_arch = "wasm32"))]
const SAMPLES: [&str; 41] = [
    "{}",
    r#"{"budgets": []}"#,
    r#"{"budgets": {}}"#,
    r#"{"budgets": [{}]}"#,
    r#"{"budgets": [{"name": ""}]}"#,
    r#"{"budgets": [{"name": "server"}]}"#,
    r#"{"budgets": [{"name": "a", "unknown": 1}]}"#,
    r#"{"budgets": [{"name": "a", "key": "cluster"}]}"#,
    r#"{"budgets": [{"name": "a", "key": "route"}]}"#,
    r#"{"budgets": [{"name": "a", "match": {"hosts": ["a*"], "paths": ["/x"], "methods": ["GET"]}}]}"#,
    r#"{"budgets": [{"name": "a", "match": {"hosts": []}}]}"#,
    r#"{"budgets": [{"name": "a", "match": {"paths": ["x"]}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": 0, "interval": "100ms"}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": 1000, "interval": "1h"}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": 1001}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": -1}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": 12.345}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"percent": 0.0001}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"interval": 10}}]}"#,
    r#"{"budgets": [{"name": "a", "budget": {"interval": "10"}}]}"#,
    r#"{"budgets": [{"name": "a", "minRetryRate": {"count": 0, "interval": "1m"}}]}"#,
    r#"{"budgets": [{"name": "a", "minRetryRate": {"count": 1000001}}]}"#,
    r#"{"budgets": [{"name": "a", "minRetryRate": {"count": 1.5}}]}"#,
    r#"{"budgets": [{"name": "a", "maxRetries": 0}]}"#,
    r#"{"budgets": [{"name": "a", "maxRetries": 101}]}"#,
    r#"{"budgets": [{"name": "a", "retryOn": ["5xx", "unavailable", 503, "503"]}]}"#,
    r#"{"budgets": [{"name": "a", "retryOn": []}]}"#,
    r#"{"budgets": [{"name": "a", "retryOn": ["6xx"]}]}"#,
    r#"{"budgets": [{"name": "a", "retryOn": [99]}]}"#,
    r#"{"budgets": [{"name": "a", "perTryTimeout": "1s", "timeout": "3s"}]}"#,
    r#"{"budgets": [{"name": "a", "mode": "settle", "whenExhausted": 503}]}"#,
    r#"{"budgets": [{"name": "a", "mode": "both"}]}"#,
    r#"{"budgets": [{"name": "a", "whenExhausted": 429}]}"#,
    r#"{"server": {"maxRetryPercent": 20, "interval": "10s", "minRetryRate": {"count": 1}}}"#,
    r#"{"server": {"maxRetryPercent": 20, "trustAttemptCount": "mtls", "maxSourcePercent": 100}}"#,
    r#"{"server": {"maxRetryPercent": 20, "trustAttemptCount": "never"}}"#,
    r#"{"server": {"maxRetryPercent": 20, "maxSourcePercent": 0}}"#,
    r#"{"server": {}}"#,
    r#"{"server": {"maxRetryPercent": 101}}"#,
    r#"{"stopAmplification": true}"#,
    r#"{"stopAmplification": "true"}"#,
];

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn the_schema_and_the_parser_agree() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let mut accepted = 0;
    for sample in SAMPLES {
        let valid = schema.is_valid(&serde_json::from_str(sample).unwrap());
        assert_eq!(valid, read(sample).is_ok(), "{sample}");
        accepted += usize::from(valid);
    }
    assert!((10..30).contains(&accepted), "both kinds are among them");
}
