//! What goes wrong on purpose is seen as it is, on both sides of Envoy.

use std::time::Duration;

use anyhow::Result;
use meshpack_harness::{
    Behavior, Client, ClientError, Cluster, Envoy, HttpFilter, Listener, RawClient, Request, Route,
    Script, StartError, Upstream, VersionError,
};

const LIMIT: Duration = Duration::from_secs(10);

async fn pair() -> Result<(Upstream, Envoy)> {
    let upstream = Upstream::start("v1").await?;
    let envoy = Envoy::builder()
        .listener(
            Listener::new("in")
                .route(Route::to("v1").merge(serde_json::json!({"route": {"timeout": "0.3s"}}))),
        )
        .cluster(Cluster::new("v1").endpoint(upstream.address()))
        .start()
        .await?;
    Ok((upstream, envoy))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_is_an_error_with_envoys_own_words() {
    let nonsense = serde_json::json!({"@type": "type.googleapis.com/no.such.Filter"});
    let result = Envoy::builder()
        .listener(Listener::new("in").filter(HttpFilter::new("nonsense", nonsense)))
        .start()
        .await;
    let error = result.err().expect("Envoy must refuse an unknown filter");
    assert!(matches!(error, StartError::Exited { .. }), "{error}");
    assert!(error.to_string().contains("no.such.Filter"), "{error}");
    assert!(error.log().contains("no.such.Filter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_cannot_load_wasm_is_refused() {
    let version = "1.38.3".parse().unwrap();
    let error = Envoy::builder()
        .version(version)
        .start()
        .await
        .err()
        .unwrap()
        .to_string();
    assert_eq!(error, VersionError::Broken(version).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_failures_reach_the_client() -> Result<()> {
    let (upstream, envoy) = pair().await?;
    let client = envoy.client("in");

    upstream.set(Behavior::reset());
    let answer = client.get("/").await?;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("reset"), "{}", answer.text());

    upstream.set(Behavior::hang());
    assert_eq!(client.get("/").await?.status, 504);

    upstream.set(Behavior::status(200).body("part").then_reset());
    let error = client.get("/").await.unwrap_err();
    match error {
        ClientError::Truncated {
            status, received, ..
        } => {
            assert_eq!((status, received.as_ref()), (200, b"part".as_slice()));
        }
        other => panic!("{other}"),
    }

    upstream.set(Script::new(|request, _| match request.path.as_str() {
        "/slow" => Behavior::status(201).delay(Duration::from_millis(50)),
        _ => Behavior::status(204),
    }));
    assert_eq!(client.get("/slow").await?.status, 201);
    assert_eq!(client.get("/").await?.status, 204);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_reset_leaves_the_connection_alone() -> Result<()> {
    let upstream = Upstream::start_with("v1", Behavior::reset_stream()).await?;
    let client = Client::http2(upstream.address());
    assert!(matches!(
        client.get("/").await,
        Err(ClientError::NoAnswer(_))
    ));
    upstream.set(Behavior::echo());
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(upstream.connections(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_client_sends_any_bytes() -> Result<()> {
    let (upstream, envoy) = pair().await?;
    let mut client = RawClient::connect(envoy.address("in")).await?;
    client
        .send(b"GET / HTTP/1.1\r\nhost: a\r\nx-odd: \x80\xfe\r\n\r\n")
        .await?;
    let answer = client.read_until("\"body\":\"\"}", LIMIT).await?;
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(
        upstream.last().unwrap().header("x-odd"),
        Some(b"\x80\xfe".as_slice())
    );

    let mut client = RawClient::connect(envoy.address("in")).await?;
    client.send(b"\x00\x01 not HTTP\r\n\r\n").await?;
    let answer = client.read_for(LIMIT).await?;
    assert!(
        answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_request_is_seen_as_such_by_envoy() -> Result<()> {
    let (upstream, envoy) = pair().await?;
    upstream.set(Behavior::hang());
    let mut client = RawClient::connect(envoy.address("in")).await?;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
    assert!(upstream.wait_for_requests(1, LIMIT).await);
    client.abort()?;
    envoy
        .wait_for_stat(
            "http.in.downstream_cx_destroy_remote_active_rq",
            LIMIT,
            |n| n == 1,
        )
        .await?;

    for client in [envoy.client("in"), envoy.client_http2("in")] {
        let patience = Duration::from_millis(100);
        let aborted = client.timeout(patience).get("/").await;
        assert!(
            matches!(aborted, Err(ClientError::Timeout(_))),
            "{aborted:?}"
        );
    }
    envoy
        .wait_for_stat("cluster.v1.upstream_rq_active", LIMIT, |n| n == 0)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_headers_and_large_ones_pass() -> Result<()> {
    let (upstream, _envoy) = pair().await?;
    let client = Client::http1(upstream.address());
    let many = (0..300).fold(Request::get("/"), |r, n| r.header(format!("x-{n}"), "v"));
    assert_eq!(client.send(many).await?.echo()?.headers.len(), 301);
    let large = Request::get("/").header("x-large", "v".repeat(60_000));
    assert_eq!(client.send(large).await?.status, 200);
    Ok(())
}
