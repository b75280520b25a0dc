//! As much of the OCI distribution API as pushing and pulling an image takes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::digest;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Media type and bytes.
type Stored = (String, Bytes);
type Answer = Response<Full<Bytes>>;

#[derive(Default)]
struct Store {
    /// `user:password` in base64, if one is needed.
    password: Option<String>,
    /// By `<repository>/blobs/<digest>` and `<repository>/manifests/<tag or digest>`.
    objects: HashMap<String, Stored>,
    uploads: HashMap<String, Vec<u8>>,
}

/// A registry in this process.
pub(crate) struct OwnRegistry {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl OwnRegistry {
    /// Starts a registry; with `password` (base64 of `user:password`) it asks for it.
    pub(crate) async fn start(password: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = Arc::new(Mutex::new(Store {
            password: password.map(str::to_owned),
            ..Store::default()
        }));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let store = store.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| serve(store.clone(), request));
                    // A client that goes away is no failure of the registry.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(store: Arc<Mutex<Store>>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|b| b.to_bytes())
        .unwrap_or_default();
    let mut store = store.lock().unwrap();
    let wanted = store.password.as_ref().map(|p| format!("Basic {p}"));
    let given = head
        .headers
        .get("authorization")
        .and_then(|v| v.to_str().ok());
    if wanted.is_some() && wanted.as_deref() != given {
        let mut refused = answer(StatusCode::UNAUTHORIZED, &[], "");
        let realm = "Basic realm=\"test\"".parse().unwrap();
        refused.headers_mut().insert("www-authenticate", realm);
        return Ok(refused);
    }
    let path = head.uri.path().trim_start_matches("/v2/").to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let kind = head.headers.get("content-type");
    let kind = kind
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    Ok(store.handle(&head.method, &path, &query, kind, body))
}

impl Store {
    fn handle(
        &mut self,
        method: &Method,
        path: &str,
        query: &str,
        kind: String,
        body: Bytes,
    ) -> Answer {
        if path.is_empty() {
            return answer(StatusCode::OK, &[], "");
        }
        if let Some(repository) = path.strip_suffix("/blobs/uploads/") {
            let upload = format!("/v2/{repository}/blobs/uploads/{}", self.uploads.len());
            self.uploads.insert(upload.clone(), Vec::new());
            return answer(StatusCode::ACCEPTED, &[("location", &upload)], "");
        }
        if path.contains("/blobs/uploads/") {
            return self.upload(method, path, query, &body);
        }
        match *method {
            Method::GET | Method::HEAD => self.get(method, path),
            Method::PUT if path.contains("/manifests/") => self.put_manifest(path, kind, body),
            _ => answer(StatusCode::METHOD_NOT_ALLOWED, &[], ""),
        }
    }

    fn get(&self, method: &Method, path: &str) -> Answer {
        let Some((kind, bytes)) = self.objects.get(path) else {
            return answer(StatusCode::NOT_FOUND, &[], "");
        };
        let headers = [
            ("content-type", kind.as_str()),
            ("docker-content-digest", &sha256(bytes)),
            ("content-length", &bytes.len().to_string()),
        ];
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            bytes.clone()
        };
        answer(StatusCode::OK, &headers, body)
    }

    fn upload(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
        let id = format!("/v2/{path}");
        let Some(mut bytes) = self.uploads.remove(&id) else {
            return answer(StatusCode::NOT_FOUND, &[], "");
        };
        bytes.extend_from_slice(body);
        if method == Method::PATCH {
            let range = format!("0-{}", bytes.len().saturating_sub(1));
            self.uploads.insert(id.clone(), bytes);
            return answer(
                StatusCode::ACCEPTED,
                &[("location", &id), ("range", &range)],
                "",
            );
        }
        let digest = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("digest="))
            .unwrap_or_default()
            .replace("%3A", ":");
        if digest != sha256(&bytes) {
            return answer(StatusCode::BAD_REQUEST, &[], "DIGEST_INVALID");
        }
        let (repository, _) = path.split_once("/blobs/").unwrap();
        let place = format!("{repository}/blobs/{digest}");
        let location = format!("/v2/{place}");
        let kind = "application/octet-stream".to_owned();
        self.objects.insert(place, (kind, bytes.into()));
        answer(StatusCode::CREATED, &[("location", &location)], "")
    }

    fn put_manifest(&mut self, path: &str, kind: String, body: Bytes) -> Answer {
        let (repository, _) = path.split_once("/manifests/").unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in layers.chain([&manifest["config"]]) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            let place = format!("{repository}/blobs/{digest}");
            let size = self
                .objects
                .get(&place)
                .map(|(_, bytes)| bytes.len() as u64);
            if size.is_none() || size != blob["size"].as_u64() {
                return answer(StatusCode::BAD_REQUEST, &[], "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let digest = sha256(&body);
        let by_digest = format!("{repository}/manifests/{digest}");
        let location = format!("/v2/{by_digest}");
        self.objects
            .insert(path.to_owned(), (kind.clone(), body.clone()));
        self.objects.insert(by_digest, (kind, body));
        let headers = [
            ("location", location.as_str()),
            ("docker-content-digest", &digest),
        ];
        answer(StatusCode::CREATED, &headers, "")
    }
}

fn answer(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}
