//! What it costs to find the split of a request among 1, 100 and 10,000.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

use meshpack_canary_split::config::Config;
use meshpack_sdk::matching::RequestHead;
use meshpack_sdk::{HeaderMap, config, encode_pairs};

fn config_with(splits: usize) -> Config {
    let splits: Vec<String> = (0..splits)
        .map(|i| {
            format!(
                r#"{{"name": "s{i}", "match": {{"hosts": ["svc-{i}.*", "svc-{i}"]}},
                     "arms": [{{"value": "v1", "weight": 95}}, {{"value": "v2", "weight": 5}}]}}"#
            )
        })
        .collect();
    let json = format!(r#"{{"splits": [{}]}}"#, splits.join(","));
    config::parse(json.as_bytes(), |value| Config::read(&value)).expect("a valid configuration")
}

fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("matching");
    for splits in [1, 100, 10_000] {
        let config = config_with(splits);
        let host = format!("svc-{}.default.svc.cluster.local:8080", splits - 1);
        for (name, host) in [
            ("the last one", host.as_str()),
            ("none", "other.default:8080"),
        ] {
            let raw = encode_pairs(&[
                (b":authority", host.as_bytes()),
                (b":path", b"/v1/orders?limit=10"),
                (b":method", b"GET"),
                (b"user-agent", b"bench"),
                (b"accept", b"*/*"),
                (b"x-user-id", b"user-000000000001"),
            ]);
            let headers = HeaderMap::decode(&raw).expect("an encoded map");
            let found = config.index.first(&RequestHead::new(&headers));
            assert_eq!(found, (name == "the last one").then(|| splits - 1));
            group.bench_function(format!("{splits} splits, {name} matches"), |b| {
                b.iter(|| config.index.first(&RequestHead::new(black_box(&headers))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
