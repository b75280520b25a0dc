//! HTTP/2, gRPC and mutual TLS through a stock Envoy.

use std::time::Duration;

use anyhow::Result;
use meshpack_harness::{
    Behavior, Certificates, Client, ClientError, Cluster, Envoy, Listener, Route, Upstream,
};

async fn envoy_before(upstream: &Upstream) -> Result<Envoy> {
    let envoy = Envoy::builder()
        .listener(Listener::new("in").route(Route::to("v1")))
        .cluster(Cluster::new("v1").endpoint(upstream.address()).http2())
        .start()
        .await?;
    Ok(envoy)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listener_takes_http1_and_http2() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let envoy = envoy_before(&upstream).await?;
    for client in [envoy.client("in"), envoy.client_http2("in")] {
        let echo = client.authority("payments.test").get("/").await?.echo()?;
        assert_eq!(echo.authority, "payments.test");
        assert_eq!(
            echo.version, "HTTP/2.0",
            "Envoy was told to speak HTTP/2 upstream"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_messages_and_statuses_come_through() -> Result<()> {
    let upstream = Upstream::start("v1").await?;
    let envoy = envoy_before(&upstream).await?;
    let client = envoy.client_http2("in");

    let reply = client.grpc("/test.Echo/Unary", &[b"hello"]).await?;
    assert_eq!((reply.http_status, reply.status), (200, Some(0)));
    assert_eq!(reply.messages, ["hello"]);
    assert!(reply.trailers.is_some());

    let reply = client
        .grpc("/test.Echo/Stream", &[b"one", b"", b"three"])
        .await?;
    assert_eq!(reply.messages, ["one", "", "three"]);

    upstream.set(Behavior::grpc(&[b"partial"], 14).trailer("x-why", "busy"));
    let reply = client.grpc("/test.Echo/Unary", &[b"hello"]).await?;
    assert_eq!(
        (reply.status, reply.messages),
        (Some(14), vec!["partial".into()])
    );
    assert_eq!(reply.trailers.unwrap()["x-why"], "busy");

    upstream.set(Behavior::grpc_error(7));
    let reply = client.grpc("/test.Echo/Unary", &[b"hello"]).await?;
    assert_eq!((reply.status, reply.trailers), (Some(7), None));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_trailers_are_sent_and_read() -> Result<()> {
    let upstream = Upstream::start_with(
        "v1",
        Behavior::status(200)
            .body("a")
            .header("trailer", "x-end")
            .trailer("x-end", "yes")
            .pause_before_body(Duration::from_millis(10)),
    )
    .await?;
    let answer = Client::http2(upstream.address()).get("/").await?;
    assert_eq!(answer.trailers.unwrap()["x-end"], "yes");
    assert_eq!(
        Client::http1(upstream.address()).get("/").await?.text(),
        "a"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_admits_only_clients_with_a_certificate() -> Result<()> {
    let certificates = Certificates::new()?;
    let server = certificates.issue(&["localhost", "127.0.0.1"])?;
    let alice = certificates.issue(&["spiffe://cluster.local/ns/default/sa/alice"])?;
    let upstream = Upstream::start("v1").await?;
    let listener = Listener::new("in")
        .tls(certificates.mutual_tls(&server))
        .merge_manager(serde_json::json!({
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"uri": true},
        }));
    let envoy = Envoy::builder()
        .listener(listener.route(Route::to("v1")))
        .cluster(Cluster::new("v1").endpoint(upstream.address()))
        .start()
        .await?;
    let with_certificate = certificates.client_tls(Some(&alice))?;
    for client in [envoy.client("in"), envoy.client_http2("in")] {
        let echo = client
            .tls(with_certificate.clone(), "localhost")
            .get("/")
            .await?
            .echo()?;
        let peer = echo.header("x-forwarded-client-cert").unwrap_or_default();
        assert!(
            peer.contains("URI=spiffe://cluster.local/ns/default/sa/alice"),
            "{peer}"
        );
    }
    let stranger = envoy
        .client("in")
        .tls(certificates.client_tls(None)?, "localhost");
    let refused = stranger.get("/").await.unwrap_err();
    assert!(
        matches!(
            refused,
            ClientError::NoAnswer(_) | ClientError::Connect { .. }
        ),
        "{refused}"
    );
    let plain = envoy.client("in").get("/").await;
    assert!(plain.is_err(), "{plain:?}");
    Ok(())
}
