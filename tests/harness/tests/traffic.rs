//! Requests through a stock Envoy arrive and return as sent.

use std::time::Duration;

use anyhow::Result;
use meshpack_harness::{
    Behavior, Client, Cluster, DEFAULT_VERSION, Envoy, Listener, Request, Route, Script, Source,
    Upstream, config, resolve,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_echoed_recorded_and_counted() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .filter(config::header_mutation("x-by", "envoy"))
                .route(Route::to("v1")),
        )
        .cluster(Cluster::new("v1").endpoint(upstream.address()))
        .start()
        .await?;
    let request = Request::post("/a?b=c", "hello")
        .header("x-two", "1")
        .header("x-two", b"\xff");
    let answer = envoy.client("in").send(request).await?;
    assert_eq!((answer.status, answer.upstream()), (200, Some("v1")));
    let echo = answer.echo()?;
    assert_eq!(
        (echo.method.as_str(), echo.path.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(echo.body, "hello");
    assert_eq!(echo.header("x-by"), Some("envoy"));
    assert_eq!(echo.header_values("x-two"), ["1", r"\xff"]);
    let recorded = upstream.last().expect("a request arrived");
    assert_eq!(recorded.header_values("x-two"), [b"1".as_slice(), b"\xff"]);
    assert_eq!(upstream.requests(), 1);
    envoy
        .wait_for_stat("cluster.v1.upstream_rq_200", Duration::from_secs(5), |n| {
            n == 1
        })
        .await?;
    let samples = envoy.admin().prometheus().await?;
    let labels = [
        ("envoy_cluster_name", "v1"),
        ("envoy_response_code_class", "2"),
    ];
    assert_eq!(samples.sum("envoy_cluster_upstream_rq_xx", &labels), 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_fails_the_first_requests_and_can_be_changed() -> Result<()> {
    let upstream = Upstream::start_with(
        "v1",
        Script::first(2, Behavior::status(503), Behavior::status(200)),
    )
    .await?;
    let envoy = Envoy::builder()
        .listener(Listener::new("in").route(Route::to("v1")))
        .cluster(Cluster::new("v1").endpoint(upstream.address()))
        .start()
        .await?;
    let outcomes = envoy.client("in").load(10, 1, |_| Request::get("/")).await;
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status()).collect();
    assert_eq!(&statuses[..3], &[Some(503), Some(503), Some(200)]);
    assert_eq!(outcomes.with_status(503), 2);
    upstream.set(Behavior::reset());
    assert_eq!(envoy.client("in").get("/").await?.status, 503);
    upstream.stop().await;
    assert_eq!(envoy.client("in").get("/").await?.status, 503);
    upstream.restart().await?;
    upstream.set(Behavior::echo());
    assert_eq!(envoy.client("in").get("/").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_not_http_says_so() -> Result<()> {
    let upstream = Upstream::start_with("v1", Behavior::status(200).header("a b", "c")).await?;
    let answer = Client::http1(upstream.address()).get("/").await?;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains(r#""a b""#), "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_literal_bootstrap_runs_on_free_ports_with_test_upstreams() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let text = r#"
admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}
static_resources:
  listeners:
  - name: ingress
    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: v1}}]}]}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
  clusters:
  - name: v1
    type: STRICT_DNS
    load_assignment: {cluster_name: v1, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: v1.invalid, port_value: 80}}}}]}]}
"#;
    let envoy = Envoy::from_bootstrap(text)?
        .edit(|bootstrap| {
            assert!(config::literal::set_endpoints(
                bootstrap,
                "v1",
                &[upstream.address()]
            ));
        })
        .start()
        .await?;
    assert_ne!(envoy.address("ingress").port(), 10000);
    assert_ne!(envoy.admin().address().port(), 9901);
    assert_eq!(
        envoy.client("ingress").get("/").await?.upstream(),
        Some("v1")
    );
    assert!(
        envoy
            .quit(Duration::from_secs(20))
            .await?
            .contains("exit status: 0")
    );
    assert!(!envoy.is_running().await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_asked_for_is_the_one_that_runs() -> Result<()> {
    let listener = Listener::new("in").route(Route::direct(200, "hello"));
    let binary = resolve::install(DEFAULT_VERSION)?;
    let envoy = Envoy::builder()
        .listener(listener)
        .source(Source::Binary(binary))
        .start()
        .await?;
    assert_eq!(envoy.admin().version().await?, DEFAULT_VERSION.to_string());
    assert_eq!(envoy.client("in").get("/").await?.text(), "hello");
    assert!(envoy.admin().memory().await?["allocated"] > 0);
    Ok(())
}
