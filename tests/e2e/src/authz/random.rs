//! Policies and requests from a seed, out of a small vocabulary so that they
//! meet often.

use serde_json::{Map, Value, json};

/// SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

const PATHS: &[&str] = &[
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/",
    "/b",
    "/a*",
    "/a/*",
    "*/b",
    "*c",
    "*",
    "/a/{*}",
    "/{*}/b",
    "/a/{**}",
    "/{**}/c",
    "/a/{*}/c",
    "/a/{**}/c",
    "/A",
    "/*",
    "/a%2Fb",
    "/a;x*",
    "/{**}",
];
const HOSTS: &[&str] = &[
    "a.com", "*.com", "a*", "*", "A.com:80", "b.com", "a.com:*", "*:80",
];
const METHODS: &[&str] = &["GET", "POST", "P*", "*T", "*", "get"];
const PRINCIPALS: &[&str] = &[
    "td/ns/a/sa/x",
    "td/ns/b/sa/y",
    "td/ns/a/*",
    "*/sa/x",
    "*",
    "other/ns/a/sa/x",
    "td*",
    "*x",
];
const NAMESPACES: &[&str] = &["a", "b", "a*", "*", "*b", "a.b", "*a*"];
const ACCOUNTS: &[&str] = &["x", "y", "a/x", "b/y", "b/x", "a/x.y"];
const TRUST_DOMAINS: &[&str] = &["td", "other", "*", "t*", "*r"];
const BLOCKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3/16",
    "::1",
    "2001:db8::/32",
    "127.0.0.0/8",
    "127.0.0.2",
    "::/0",
    "127.0.0.1/32",
];
const TOKENS: &[&str] = &[
    "i/s",
    "*",
    "i/*",
    "*/s",
    "i",
    "i*",
    "*s",
    "*i/s",
    "i/s*",
    "https://i/s",
];
const TEXTS: &[&str] = &["a", "a*", "*a", "*", "b", "ab", "a,b", "*b*", "é*"];
const FILTER_TEXTS: &[&str] = &["a", "[a]", "[*]", "*", "[a*]", "[[b]]"];

/// The identities that certificates are needed for; one has no URI.
pub const IDENTITIES: &[&[&str]] = &[
    &["spiffe://td/ns/a/sa/x"],
    &["spiffe://td/ns/b/sa/y", "a.com"],
    &["spiffe://other/ns/a/sa/x"],
    &["spiffe://td/ns/a/k/v/sa/x/more"],
    &["client.test"],
];
/// The names that clients may ask for in TLS.
pub const SERVER_NAMES: &[&str] = &["a.com", "b.com", "x.a.com"];
/// Addresses that clients may connect from.
pub const PEERS: &[&str] = &["127.0.0.1", "127.0.0.2"];

impl Random {
    fn some_of(&mut self, all: &[&str]) -> Value {
        let mut chosen = vec![self.pick(all)];
        if self.chance(40) {
            chosen.push(self.pick(all));
        }
        chosen.dedup();
        json!(chosen)
    }

    fn fields(&mut self, all: &[(&str, &[&str])], most: usize) -> Value {
        let mut out = Map::new();
        for _ in 0..=self.below(most) {
            let (key, values) = self.pick(all);
            // Excluding often makes rules that match nearly everything.
            let key = if self.chance(30) {
                negated(key)
            } else {
                key.to_owned()
            };
            out.insert(key, self.some_of(values));
        }
        Value::Object(out)
    }

    fn source(&mut self) -> Value {
        if self.chance(15) {
            return self.fields(&[("serviceAccounts", ACCOUNTS)], 1);
        }
        self.fields(
            &[
                ("principals", PRINCIPALS),
                ("namespaces", NAMESPACES),
                ("trustDomains", TRUST_DOMAINS),
                ("ipBlocks", BLOCKS),
                ("remoteIpBlocks", BLOCKS),
                ("requestPrincipals", TOKENS),
            ],
            2,
        )
    }

    fn operation(&mut self, ports: &[&str]) -> Value {
        self.fields(
            &[
                ("paths", PATHS),
                ("paths", PATHS),
                ("hosts", HOSTS),
                ("methods", METHODS),
                ("ports", ports),
            ],
            3,
        )
    }

    fn condition(&mut self, ports: &[&str]) -> Value {
        let (key, values) = self.pick(&[
            ("request.headers[X-a]", TEXTS),
            ("request.headers[x-a]", TEXTS),
            ("request.headers[:authority]", HOSTS),
            ("request.headers[host]", HOSTS),
            ("request.headers[:path]", PATHS_AS_TEXT),
            ("source.ip", BLOCKS),
            ("remote.ip", BLOCKS),
            ("destination.ip", BLOCKS),
            ("destination.port", ports),
            ("connection.sni", HOSTS),
            ("source.principal", PRINCIPALS),
            ("source.namespace", NAMESPACES),
            ("source.serviceAccount", ACCOUNTS),
            ("source.trustDomain", TRUST_DOMAINS),
            ("request.auth.principal", TOKENS),
            ("request.auth.audiences", TEXTS),
            ("request.auth.presenter", TEXTS),
            ("request.auth.claims[c]", TEXTS),
            ("request.auth.claims[n][c]", TEXTS),
            ("request.auth.claims[https://x.y/r]", TEXTS),
            ("experimental.envoy.filters.http.f[k]", FILTER_TEXTS),
        ]);
        let mut when = json!({"key": key});
        let not = self.chance(30);
        if !not || self.chance(20) {
            when["values"] = self.some_of(values);
        }
        if not {
            when["notValues"] = self.some_of(values);
        }
        when
    }

    fn rule(&mut self, ports: &[&str]) -> Value {
        let mut rule = Map::new();
        let from: Vec<Value> = (0..self.below(3))
            .map(|_| json!({"source": self.source()}))
            .collect();
        let to: Vec<Value> = (0..self.below(3))
            .map(|_| json!({"operation": self.operation(ports)}))
            .collect();
        let when: Vec<Value> = (0..self.below(3)).map(|_| self.condition(ports)).collect();
        for (key, list) in [("from", from), ("to", to), ("when", when)] {
            if !list.is_empty() {
                rule.insert(key.to_owned(), list.into());
            }
        }
        Value::Object(rule)
    }

    /// A set of policies; some of their rules name these ports.
    pub fn policies(&mut self, ports: &[&str]) -> Vec<Value> {
        (0..=self.below(8))
            .map(|number| {
                let action = self.pick(&["ALLOW", "ALLOW", "ALLOW", "DENY", "AUDIT"]);
                let rules: Vec<Value> = (0..=self.below(12)).map(|_| self.rule(ports)).collect();
                let mut policy = json!({
                    "metadata": {
                        "name": format!("p{number}"),
                        "namespace": self.pick(&["default", "a", "b"]),
                    },
                    "spec": {"action": action, "rules": rules},
                });
                if action != "AUDIT" && self.chance(15) {
                    policy["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
                }
                policy
            })
            .collect()
    }

    fn claim(&mut self) -> Value {
        const VALUES: &[&str] = &["a", "ab", "b", "ba", "", "a,b", "b*", "éa"];
        match self.below(8) {
            0 => json!([1, true, null, {"a": "a"}, ["a"]]),
            1 => json!(7),
            2 => Value::Null,
            3 | 4 => (0..self.below(4)).map(|_| self.pick(VALUES)).collect(),
            _ => json!(self.pick(VALUES)),
        }
    }

    /// A token's payload.
    pub fn payload(&mut self) -> Value {
        let mut payload = Map::new();
        if self.chance(90) {
            payload.insert(
                "iss".into(),
                json!(self.pick(&["i", "xi", "https://i", ""])),
            );
        }
        if self.chance(90) {
            payload.insert("sub".into(), json!(self.pick(&["s", "xs", ""])));
        }
        for name in ["aud", "azp", "c", "https://x.y/r"] {
            if self.chance(40) {
                payload.insert(name.into(), self.claim());
            }
        }
        if self.chance(40) {
            payload.insert("n".into(), json!({"c": self.claim()}));
        }
        Value::Object(payload)
    }

    /// The value `k` of the imaginary filter's metadata.
    pub fn other_metadata(&mut self) -> Value {
        self.pick(&[
            || json!("a"),
            || json!(["b", "a"]),
            || json!(1),
            || json!(["x"]),
        ])()
    }
}

/// `:path` as a header holds query and all.
const PATHS_AS_TEXT: &[&str] = &["/a", "/a*", "*b", "/a?*", "*k=2"];

/// `principals` and `notPrincipals`.
fn negated(key: &str) -> String {
    let mut chars = key.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    "not".chars().chain(first).chain(chars).collect()
}
