//! Trace context through one and two Envoys.

use meshpack_e2e::telemetry::{envoy_with_labels, telemetry};
use meshpack_harness::{
    Cluster, DEFAULT_VERSION, Envoy, EnvoyVersion, Listener, Request, Route, Upstream, versions,
};
use serde_json::json;

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn hop(version: EnvoyVersion, next: std::net::SocketAddr, generate: bool) -> Envoy {
    let config = json!({"trace": {"propagate": "w3c", "generateWhenMissing": generate}});
    envoy_with_labels(&[])
        .listener(
            Listener::new("in")
                .filter(telemetry(&config))
                .route(Route::to("next")),
        )
        .cluster(Cluster::new("next").endpoint(next))
        .version(version)
        .start()
        .await
        .unwrap()
}

/// Two proxies in a row, in front of an application.
struct TwoHops {
    first: Envoy,
    _second: Envoy,
    app: Upstream,
}

impl TwoHops {
    async fn start(version: EnvoyVersion, generate: bool) -> Self {
        let app = Upstream::start("app").await.unwrap();
        let second = hop(version, app.address(), generate).await;
        let first = hop(version, second.address("in"), generate).await;
        Self {
            first,
            _second: second,
            app,
        }
    }

    /// The trace headers that arrive when these are sent.
    async fn carry(&self, headers: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let request = headers
            .iter()
            .fold(Request::get("/"), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = self.first.client("in").send(request).await.unwrap();
        assert_eq!(answer.status, 200);
        let seen = self.app.last().unwrap();
        let values = |name| {
            let values = seen.header_values(name).into_iter();
            values
                .map(|v| String::from_utf8_lossy(v).into_owned())
                .collect()
        };
        (values("traceparent"), values("tracestate"))
    }
}

fn is_fresh(traceparent: &str) -> bool {
    let parts: Vec<&str> = traceparent.split('-').collect();
    matches!(parts.as_slice(), ["00", trace, parent, flags]
        if trace.len() == 32 && parent.len() == 16 && *flags == "03" && !VALID.contains(trace))
}

const NO_STATE: [String; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn contexts_pass_two_proxies_or_begin_at_the_first_on_every_version() {
    for version in versions().unwrap() {
        let hops = TwoHops::start(version, true).await;
        let headers = [
            ("traceparent", VALID),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ];
        let (parents, states) = hops.carry(&headers).await;
        assert_eq!(parents, [VALID], "{version}");
        assert_eq!(states.join(","), "a=1,b=2", "{version}");

        // A later version of the format goes on as version 00.
        let future = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        let (parents, _) = hops.carry(&[("traceparent", future)]).await;
        assert_eq!(parents, [VALID], "{version}");

        // A missing context is made by the first and kept by the second.
        let (parents, states) = hops.carry(&[("tracestate", "a=1")]).await;
        assert_eq!(parents.len(), 1, "{version}");
        assert!(is_fresh(&parents[0]), "{version}: {parents:?}");
        assert_eq!(states, NO_STATE, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_contexts_are_restarted_and_broken_states_dropped() {
    let hops = TwoHops::start(DEFAULT_VERSION, false).await;
    for headers in [
        &[
            ("traceparent", "00-zz-b7ad6b7169203331-01"),
            ("tracestate", "a=1"),
        ][..],
        &[
            ("traceparent", VALID),
            ("traceparent", VALID),
            ("tracestate", "a=1"),
        ],
        &[(
            "traceparent",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )],
    ] {
        let (parents, states) = hops.carry(headers).await;
        assert_eq!(parents.len(), 1, "{headers:?}");
        assert!(is_fresh(&parents[0]), "{headers:?}: {parents:?}");
        assert_eq!(states, NO_STATE);
    }
    let headers = [("traceparent", VALID), ("tracestate", "A=1")];
    let (parents, states) = hops.carry(&headers).await;
    assert_eq!(parents, [VALID]);
    assert_eq!(states, NO_STATE);
    // Nothing is made that nobody asked for.
    let (parents, _) = hops.carry(&[]).await;
    assert_eq!(parents, NO_STATE);
}
