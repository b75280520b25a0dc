//! Envoys started at the same time do not meet.

use anyhow::Result;
use meshpack_harness::{Cluster, Envoy, Listener, Request, Route, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn each_envoy_serves_its_own_upstream() -> Result<()> {
    let mut starting = tokio::task::JoinSet::new();
    for n in 0..6 {
        starting.spawn(async move {
            let name = format!("u{n}");
            let upstream = Upstream::start(name.clone()).await?;
            let envoy = Envoy::builder()
                .listener(Listener::new("in").route(Route::to("upstream")))
                .cluster(Cluster::new("upstream").endpoint(upstream.address()))
                .start()
                .await?;
            let outcomes = envoy.client("in").load(50, 2, |_| Request::get("/")).await;
            assert_eq!(outcomes.by_upstream().get(name.as_str()), Some(&50));
            anyhow::Ok((upstream, envoy))
        });
    }
    let all: Result<Vec<_>> = starting.join_all().await.into_iter().collect();
    assert_eq!(all?.len(), 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_rate_is_kept() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let client = meshpack_harness::Client::http1(upstream.address());
    let second = std::time::Duration::from_secs(1);
    let outcomes = client
        .rate(200.0, second, |n| Request::get(format!("/{n}")))
        .await;
    assert_eq!((outcomes.len(), outcomes.with_status(200)), (200, 200));
    let last = outcomes.last().unwrap().at;
    assert!(last >= second * 9 / 10 && last < second * 3, "{last:?}");
    Ok(())
}
