//! A filter's configuration is swapped while Envoy serves.

use anyhow::Result;
use meshpack_harness::config::header_mutation;
use meshpack_harness::{Cluster, Envoy, Listener, Request, Route, Swap, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_configuration_serves_and_a_refused_one_does_not() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let listener = Listener::new("in")
        .swappable_filter("mark", header_mutation("x-mark", "first"))
        .route(Route::to("v1"));
    let envoy = Envoy::builder()
        .listener(listener)
        .cluster(Cluster::new("v1").endpoint(upstream.address()))
        .start()
        .await?;
    let mark = || async {
        let echo = envoy.client("in").get("/").await?.echo()?;
        anyhow::Ok(echo.header("x-mark").map(str::to_owned))
    };
    assert_eq!(mark().await?.as_deref(), Some("first"));

    let second = header_mutation("x-mark", "second");
    assert_eq!(
        envoy.swap_filter_config("mark", second).await?,
        Swap::Accepted
    );
    assert_eq!(mark().await?.as_deref(), Some("second"));

    let client = envoy.client("in");
    let load = tokio::spawn(async move { client.load(500, 4, |_| Request::get("/")).await });
    let bad = header_mutation("", "a header without a name");
    assert_eq!(envoy.swap_filter_config("mark", bad).await?, Swap::Rejected);
    assert_eq!(mark().await?.as_deref(), Some("second"));
    assert_eq!(load.await?.with_status(200), 500);

    let third = header_mutation("x-mark", "third");
    assert_eq!(
        envoy.swap_filter_config("mark", third).await?,
        Swap::Accepted
    );
    assert_eq!(mark().await?.as_deref(), Some("third"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn swapping_a_filter_that_is_not_there_is_an_error() -> Result<()> {
    let envoy = Envoy::builder()
        .listener(Listener::new("in").route(Route::direct(200, "")))
        .start()
        .await?;
    let error = envoy
        .swap_filter_config("nobody", header_mutation("a", "b"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("no swappable filter `nobody`"),
        "{error}"
    );
    Ok(())
}
