//! Mixed requests from a seed: allowed and denied, steered and forced, retried,
//! gRPC, and bytes that no honest client sends.

use meshpack_harness::{Behavior, Client, ClientError, Recorded, Request, Response, Script};
use serde_json::{Value, json};

use crate::authz::random::Random;
use crate::authz::{PAYLOAD_HEADER, metadata_header};

/// Request header with the request's number, on every attempt.
pub const NUMBER: &str = "x-n";
/// Request header that says what the services shall do.
pub const WISH: &str = "x-do";

const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH"];
const HOSTS: &[&str] = &[
    "payments",
    "Payments:8080",
    "payments.example",
    "three",
    "ramp",
    "claims",
    "lottery",
    "minted",
    "dying",
    "a.com",
    "A.com:80",
    "b.com",
];
const PATHS: &[&str] = &[
    "/",
    "/users/7",
    "/users/8?debug=1",
    "/users/9/orders/4/lines",
    "/poor/1",
    "/poor/2",
    "/mid/1",
    "/settle/1",
    "/admin",
    "/admin/keys?x=/public",
    "//admin",
    "/a",
    "/a/b",
    "/a/b/c",
    "/a%2Fb",
    "/a;x/b",
    "/a/../admin",
    "/b?k=1&k=%32",
    "/nobody",
    "/refused",
    "/hidden",
];
const USERS: &[&str] = &[
    "alice", "bob", "carol", "dave", "erin", "frank", "", "mallory", "user-17", "user-42",
];
const COOKIES: &[&str] = &[
    "session=abc",
    "session=def; canary=v2",
    "canary=always",
    "canary=never; x=1",
    "canary=unknown",
    ";;=;session",
    "session=\"quoted\"; session=second",
];
const WISHES: &[&str] = &[
    "503",
    "503-once",
    "500-twice",
    "reset",
    "reset-once",
    "429",
    "404",
    "marked",
    "204",
];
const GRPC_WISHES: &[&str] = &[
    "grpc-0",
    "grpc-7",
    "grpc-14",
    "grpc-error-14",
    "grpc-error-5",
];
const TRACES: &[&str] = &[
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00",
    "cc-0af7651916cd43dd8448eb211c80319e-b7ad6b7169203331-01-more",
    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    "nonsense",
    "",
];
const STATES: &[&str] = &["a=1,b=2", "a=1,a=2", "=", "congo=t61rcWkgMzE"];
const HOSTILE: &[&[u8]] = &[
    b"\xff\xfe\x80",
    b"caf\xc3\xa9",
    b"a;.;b=.=c",
    b"\t\t",
    b"%00%0d%0a",
    b"\xc3(\xa0\xa1",
    b"{\"json\": true}",
];

/// A request and how it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The request, with its number in [`NUMBER`].
    pub request: Request,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http1,
    Http2,
    Grpc,
}

impl Sent {
    /// Request `number` of a seed.
    #[must_use]
    pub fn nth(seed: u64, number: usize) -> Self {
        let mut random = Random::new(seed ^ (number as u64).wrapping_mul(0x9e37_79b9));
        // The first draws of neighbouring seeds are alike.
        random.below(2);
        let kind = match random.below(10) {
            0 | 1 => Kind::Http2,
            2 => Kind::Grpc,
            _ => Kind::Http1,
        };
        let (method, path) = match kind {
            Kind::Grpc => ("POST", random.pick(&["/grpc.Echo/Say", "/grpc.Echo/Admin"])),
            _ => (random.pick(METHODS), random.pick(PATHS)),
        };
        let mut request = Request::new(method, path)
            .authority(random.pick(HOSTS))
            .header(NUMBER, number.to_string())
            .header("x-request-id", request_id(&mut random));
        for (name, value) in headers(&mut random, kind) {
            request = request.header(name, value);
        }
        if kind != Kind::Grpc && ["POST", "PUT"].contains(&method) {
            request = request.body("b".repeat(random.below(2000)));
        }
        Self { request, kind }
    }

    /// Sends it by one of two clients of the same proxy.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn by(self, http1: &Client, http2: &Client) -> Result<Response, ClientError> {
        match self.kind {
            Kind::Http1 => http1.send(self.request).await,
            Kind::Http2 => http2.send(self.request).await,
            Kind::Grpc => {
                let request = self.request.header("content-type", "application/grpc");
                let request = request
                    .header("te", "trailers")
                    .body(&b"\0\0\0\0\x02hi"[..]);
                http2.send(request).await
            }
        }
    }
}

fn headers(random: &mut Random, kind: Kind) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut add = |name, value: &[u8]| headers.push((name, value.to_vec()));
    if random.chance(70) {
        add("x-user-id", random.pick(USERS).as_bytes());
    }
    if random.chance(30) {
        add("cookie", random.pick(COOKIES).as_bytes());
    }
    if random.chance(15) {
        let arm = random.pick(&["v1", "v2", "always", "never", "gone", "none"]);
        add("x-canary", arm.as_bytes());
    }
    // Forged: the filter replaces or removes it.
    if random.chance(10) {
        add(
            "x-meshpack-subset",
            random.pick(&["v2", "gone", ""]).as_bytes(),
        );
    }
    if random.chance(8) {
        add("x-beta", b"1");
    }
    if random.chance(40) {
        add(
            "x-a",
            random
                .pick(&["a", "ab", "b", "a,b", "deny", "shadow"])
                .as_bytes(),
        );
    }
    if random.chance(50) {
        add(
            "x-tenant",
            random
                .pick(&["acme", "umbrella", "initech", "a;b=c"])
                .as_bytes(),
        );
    }
    if random.chance(10) {
        add(
            "x-tenant",
            format!("tenant-{}", random.below(1000)).as_bytes(),
        );
    }
    if random.chance(25) {
        add(
            "x-forwarded-for",
            random
                .pick(&["10.1.2.3", "11.0.0.1", "x", "2001:db8::9"])
                .as_bytes(),
        );
    }
    if random.chance(35) {
        add("traceparent", random.pick(TRACES).as_bytes());
    }
    if random.chance(15) {
        add("tracestate", random.pick(STATES).as_bytes());
    }
    if random.chance(6) {
        add("traceparent", TRACES[0].as_bytes());
    }
    if random.chance(10) {
        add(
            "x-envoy-attempt-count",
            random.pick(&["1", "2", "3", "x"]).as_bytes(),
        );
    }
    if random.chance(8) {
        add(
            "x-envoy-max-retries",
            random.pick(&["0", "5", "-1"]).as_bytes(),
        );
    }
    if random.chance(15) {
        let name = random.pick(&[
            "x-user-id",
            "x-a",
            "x-tenant",
            "cookie",
            "x-canary",
            "x-odd",
            "referer",
        ]);
        add(name, random.pick(HOSTILE));
    }
    if random.chance(3) {
        add("x-long", &vec![b'l'; 1000 + random.below(20_000)]);
    }
    if random.chance(3) {
        (0..random.below(120)).for_each(|_| add("x-many", b"again"));
    }
    if random.chance(30) {
        let payload: Value = match random.below(3) {
            0 => random.payload(),
            _ => {
                json!({"iss": "i", "sub": random.pick(USERS), "groups": ["a", random.pick(&["admins", "b"])]})
            }
        };
        add(PAYLOAD_HEADER, metadata_header(&payload).as_bytes());
    }
    if random.chance(45) {
        let wishes = if kind == Kind::Grpc {
            GRPC_WISHES
        } else {
            WISHES
        };
        add(WISH, random.pick(wishes).as_bytes());
    }
    headers
}

/// A version 4 UUID, so that both runs and both sides of a sample see the same.
fn request_id(random: &mut Random) -> String {
    let mut hex = |digits: usize| -> String {
        (0..digits)
            .map(|_| char::from(random.pick(b"0123456789abcdef")))
            .collect()
    };
    format!("{}-{}-4{}-a{}-{}", hex(8), hex(4), hex(3), hex(3), hex(12))
}

/// What the services do: what [`WISH`] asks for.
#[must_use]
pub fn script() -> Script {
    Script::new(|request: &Recorded, _| {
        let attempt = crate::retry::attempt(request);
        let wish = request.header_text(WISH).unwrap_or_default();
        let until = |last: u32, failing: Behavior| {
            if attempt <= last {
                failing
            } else {
                Behavior::echo()
            }
        };
        match wish {
            "503" => Behavior::status(503).body("down"),
            "503-once" => until(1, Behavior::status(503)),
            "500-twice" => until(2, Behavior::status(500)),
            "reset" => Behavior::reset(),
            "reset-once" => until(1, Behavior::reset()),
            "marked" => Behavior::status(503).header("x-envoy-ratelimited", "true"),
            "grpc-0" | "grpc-7" | "grpc-14" => {
                let status = wish.trim_start_matches("grpc-").parse().unwrap_or(2);
                Behavior::grpc(&[b"hi"], status)
            }
            "grpc-error-14" => Behavior::grpc_error(14),
            "grpc-error-5" => Behavior::grpc_error(5),
            other => other
                .parse()
                .map_or_else(|_| Behavior::echo(), Behavior::status),
        }
    })
}
