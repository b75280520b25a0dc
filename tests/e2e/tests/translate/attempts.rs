//! As many attempts as the route asks for, also for the first request of a service, which
//! has nothing but its floor to pay for retries.

use std::fs;

use meshpack_harness::{Behavior, Envoy, Request, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_small_service_gets_all_of_its_attempts() {
    let folder = std::env::temp_dir().join(format!("meshpack-attempts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("in.yaml");
    for attempts in [1, 5, 6, 9, 12] {
        let desk = Upstream::start("desk").await.unwrap();
        desk.set(Behavior::status(503));
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: desk, namespace: library}}\nspec: {{hosts: [desk], http: [{{retries: {{attempts: {attempts}, retryOn: 5xx, backoff: 1ms}}, route: [{{destination: {{host: desk}}}}]}}]}}\n"
        );
        fs::write(&file, text).unwrap();
        let endpoint = format!("desk={}", desk.address());
        let words = [
            "--to",
            "envoy",
            "--endpoint",
            &endpoint,
            file.to_str().unwrap(),
        ];
        let translation = meshpack_cli::translate::from_words(&words).unwrap();
        assert_eq!(translation.remarks, [""; 0]);
        let envoy = Envoy::from_bootstrap(&translation.yaml()).unwrap();
        let envoy = envoy.start().await.unwrap();
        let request = Request::get("/").authority("desk");
        let answer = envoy.client("outbound").send(request).await.unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(desk.requests(), attempts + 1, "attempts: {attempts}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
