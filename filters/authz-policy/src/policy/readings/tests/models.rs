//! How families of servers read a path, written after their sources and what
//! they did behind an Envoy. Each is its own code and shares nothing with the
//! steps that it is to judge.

/// A family's name and what it looks up for a path, if it serves it.
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) read: fn(&str) -> Option<String>,
    /// It finds files and routes whatever the case of their letters.
    pub(super) ignores_case: bool,
}

const fn model(name: &'static str, read: fn(&str) -> Option<String>) -> Model {
    Model {
        name,
        read,
        ignores_case: false,
    }
}

pub(super) const MODELS: &[Model] = &[
    model("as sent", |path| Some(path.to_owned())),
    model("Tomcat", tomcat),
    model("Tomcat that decodes slashes", |path| {
        Some(resolve(
            &decode(&drop_parameters(path), DECODE),
            Empty::Merged,
        ))
    }),
    model("Tomcat that takes backslashes", |path| {
        let path = decode(&drop_parameters(path), DECODE).replace('\\', "/");
        Some(resolve(&path, Empty::Merged))
    }),
    model("Jetty 9", |path| {
        let path = decode(&drop_parameters(path), UNICODE);
        Some(resolve(&path, Empty::Counts))
    }),
    model("Jetty 9, compact", |path| {
        let path = decode(&drop_parameters(path), UNICODE);
        Some(resolve(&path, Empty::Merged))
    }),
    model("Jetty, resolved before decoding", |path| {
        let path = resolve(&drop_parameters(path), Empty::Counts);
        Some(decode(&path, UNICODE))
    }),
    model("nginx", |path| {
        Some(resolve(&until(&decode(path, DECODE), '\0'), Empty::Merged))
    }),
    model("nginx, merge_slashes off", |path| {
        Some(resolve(&decode(path, DECODE), Empty::Counts))
    }),
    model("a proxy that cuts what it decoded", |path| {
        let path = until(&until(&decode(path, DECODE), '?'), '#');
        Some(resolve(&path, Empty::Merged))
    }),
    model("Apache httpd", |path| {
        // AllowEncodedSlashes NoDecode
        let path = decode(
            path,
            Escapes {
                slashes: false,
                ..DECODE
            },
        );
        Some(resolve(&path, Empty::Merged))
    }),
    model("lighttpd, path info", |path| {
        before_info(&resolve(&decode(path, DECODE), Empty::Merged))
    }),
    model("Node, new URL", |path| Some(url(path)?.to_owned())),
    model("Node, new URL and decodeURIComponent", |path| {
        Some(decode(&url(path)?, DECODE))
    }),
    model("Node, decoded and then new URL", |path| {
        url(&decode(path, DECODE))
    }),
    model("Node, files", |path| {
        Some(resolve(&decode(&url(path)?, DECODE), Empty::Merged))
    }),
    Model {
        name: "Express",
        read: |path| Some(decode(path, DECODE).trim_end_matches('/').to_owned()),
        ignores_case: true,
    },
    Model {
        name: "a file system without case",
        read: |path| {
            Some(resolve(
                &decode(path, DECODE).replace('\\', "/"),
                Empty::Merged,
            ))
        },
        ignores_case: true,
    },
    model("Python http.server", |path| {
        let path = until(&until(path, '?'), '#');
        let path = resolve(&decode(&path, DECODE), Empty::Merged);
        Some(path)
    }),
    model("Python urlparse", |path| {
        let rest = match path.strip_prefix("//") {
            Some(rest) => rest.get(rest.find('/')?..)?,
            None => path,
        };
        let last = rest.rfind('/')?;
        let cut = rest[last..].find(';').map_or(rest.len(), |at| last + at);
        Some(resolve(&decode(&rest[..cut], DECODE), Empty::Merged))
    }),
    model("Werkzeug", |path| {
        // Routes see decoded, merged paths; dots stay.
        Some(merge(&decode(path, DECODE)))
    }),
    model("PHP parse_url", |path| {
        let rest = match path.strip_prefix("//") {
            Some(rest) => rest.get(rest.find('/')?..)?,
            None => path,
        };
        Some(decode(rest, DECODE))
    }),
    model("PHP, built in", |path| {
        before_info(&resolve(&decode(path, DECODE), Empty::Merged))
    }),
    model("a front controller", |path| {
        let path = decode(path, DECODE);
        let end = path.find(".php/")? + 4;
        Some(path[end..].to_owned())
    }),
    model("Go, path.Clean", |path| {
        Some(resolve(&decode(path, DECODE), Empty::Merged))
    }),
    model("Go, the escaped path cleaned", |path| {
        Some(decode(&resolve(path, Empty::Merged), DECODE))
    }),
    Model {
        name: "Go, strings.ToLower",
        read: |path| {
            Some(
                decode(path, DECODE)
                    .replace('\u{130}', "i")
                    .replace('\u{212a}', "k"),
            )
        },
        ignores_case: true,
    },
    model("Rack", |path| {
        let path = decode(path, DECODE).replace('\\', "/");
        Some(resolve(&path, Empty::Merged))
    }),
    model("WEBrick mount", |path| Some(merge(&decode(path, DECODE)))),
    model("java.net.URI", |path| {
        let rest = match path.strip_prefix("//") {
            Some(rest) => rest.get(rest.find('/')?..)?,
            None => path,
        };
        Some(decode(rest, DECODE))
    }),
    model("two servers that decode", |path| {
        let once = resolve(&decode(path, DECODE), Empty::Merged);
        Some(resolve(&decode(&once, DECODE), Empty::Merged))
    }),
    model("three rounds of everything", |path| {
        let mut path = path.to_owned();
        for _ in 0..3 {
            path = drop_parameters(&decode(&path, UNICODE).replace('\\', "/"));
        }
        Some(resolve(&until(&until(&path, '?'), '#'), Empty::Merged))
    }),
    model("a decoder of overlong UTF-8", |path| {
        let path = decode(path, DECODE);
        let mut bytes = path.chars().map(|c| c as u32).collect::<Vec<_>>();
        let mut at = 0;
        while at + 1 < bytes.len() {
            if let (0xc0 | 0xc1, 0x80..=0xbf) = (bytes[at], bytes[at + 1]) {
                bytes[at] = (bytes[at] & 1) << 6 | (bytes[at + 1] & 0x3f);
                bytes.remove(at + 1);
            }
            at += 1;
        }
        let path: String = bytes.into_iter().filter_map(char::from_u32).collect();
        Some(resolve(&path, Empty::Merged))
    }),
    model("what cuts everything behind a semicolon", |path| {
        Some(resolve(&decode(&until(path, ';'), DECODE), Empty::Merged))
    }),
];

fn tomcat(path: &str) -> Option<String> {
    let path = drop_parameters(path);
    if path.to_ascii_lowercase().contains("%2f") || path.contains('\\') {
        return None;
    }
    let path = decode(&path, DECODE);
    (!path.contains(['\0', '\\'])).then(|| resolve(&path, Empty::Merged))
}

#[derive(Clone, Copy)]
struct Escapes {
    slashes: bool,
    unicode: bool,
}

const DECODE: Escapes = Escapes {
    slashes: true,
    unicode: false,
};
const UNICODE: Escapes = Escapes {
    slashes: true,
    unicode: true,
};

/// Bytes are the characters below U+0100 here; good enough for comparing.
fn decode(path: &str, escapes: Escapes) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let unicode = escapes.unicode && matches!(rest.as_bytes().get(1), Some(b'u' | b'U'));
        let (from, to) = if unicode { (2, 6) } else { (1, 3) };
        let code = rest
            .get(from..to)
            .filter(|digits| first == '%' && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32)
            .filter(|c| escapes.slashes || *c != '/');
        match code {
            Some(code) => {
                out.push(code);
                rest = &rest[to..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn until(path: &str, end: char) -> String {
    path.split(end).next().unwrap_or_default().to_owned()
}

fn drop_parameters(path: &str) -> String {
    let kept: Vec<String> = path.split('/').map(|segment| until(segment, ';')).collect();
    kept.join("/")
}

fn merge(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

#[derive(Clone, Copy, PartialEq)]
enum Empty {
    /// An empty segment is one that `..` takes.
    Counts,
    Merged,
}

fn resolve(path: &str, empty: Empty) -> String {
    let mut out: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (number, &segment) in segments.iter().enumerate() {
        let last = number + 1 == segments.len();
        match segment {
            "." if last => out.push(""),
            "." => {}
            ".." => {
                out.pop();
                if last {
                    out.push("");
                }
            }
            "" if empty == Empty::Merged && !last => {}
            name => out.push(name),
        }
    }
    format!("/{}", out.join("/"))
}

/// The path of a URL, as WHATWG's parser takes it apart for `http`.
fn url(path: &str) -> Option<String> {
    let path: String = path.chars().filter(|c| !"\t\r\n".contains(*c)).collect();
    let path = until(&until(&path.replace('\\', "/"), '?'), '#');
    let path = if path.starts_with("//") {
        let rest = path.trim_start_matches('/');
        rest.find('/').map_or("/", |at| &rest[at..]).to_owned()
    } else {
        path
    };
    let dots: Vec<String> = path
        .split('/')
        .map(|segment| {
            let plain = segment.to_ascii_lowercase().replace("%2e", ".");
            if plain == "." || plain == ".." {
                plain
            } else {
                segment.to_owned()
            }
        })
        .collect();
    Some(resolve(&dots.join("/"), Empty::Counts))
}

/// The file that a path goes on behind.
fn before_info(path: &str) -> Option<String> {
    let end = path.find(".txt/").or_else(|| path.find(".php/"))? + 4;
    Some(path[..end].to_owned())
}
