//! Tokens of an issuer that the mesh trusts.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// The issuer that the manifests name.
pub const ISSUER: &str = "https://issuer.example.com";

const KEY: &[u8] = b"a key of this mesh, which no other trusts";

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A RequestAuthentication that trusts [`ISSUER`].
pub fn authentication(namespace: &str, selector: &Value) -> String {
    let key = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": "mesh", "k": encode(KEY)}]});
    let mut spec = json!({"jwtRules": [{"issuer": ISSUER, "jwks": key.to_string()}]});
    if !selector.is_null() {
        spec["selector"] = json!({"matchLabels": selector});
    }
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "issuer", "namespace": namespace},
        "spec": spec,
    })
    .to_string()
}

/// The value of `authorization` for a user with these claims, for the next hour.
pub fn bearer(subject: &str, claims: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let mut payload = json!({"iss": ISSUER, "sub": subject, "exp": now + 3600});
    if let (Value::Object(payload), Value::Object(claims)) = (&mut payload, claims) {
        payload.extend(claims.clone());
    }
    let header = json!({"alg": "HS256", "kid": "mesh"}).to_string();
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(payload.to_string().as_bytes())
    );
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), signed.as_bytes());
    format!("Bearer {signed}.{}", encode(signature.as_ref()))
}
