//! `meshpack bundle`: OCI images of the modules, as Istio and Envoy Gateway pull
//! them.

mod image;
mod layout;
mod pin;
#[cfg(feature = "registry")]
mod push;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::filters::Filter;
use crate::modules;
use crate::output::{self, Verdict};
use image::Image;

/// Makes OCI images of wasm modules and writes them to a folder or pushes them to a
/// registry. The same module gives the same digest, anywhere and any time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Modules by name (`canary_split`) or file (`my/filter.wasm`); all of the pack
    /// unless given.
    #[arg(value_name = "MODULE")]
    modules: Vec<String>,
    /// Where modules named without a path are; else MESHPACK_DIST, the nearest dist/,
    /// those installed with this command.
    #[arg(long = "modules", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Write each image as an OCI image layout to FOLDER/<image>.
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Push each image to PREFIX/<image>, as in `ghcr.io/my-org`.
    #[arg(long, value_name = "PREFIX")]
    push: Option<String>,
    /// Write the digests into the manifests in this file or folder (YAML), wherever they
    /// name the images, with the registry pushed to; may be repeated.
    #[arg(long, value_name = "PATH")]
    pin: Vec<PathBuf>,
    /// Speak HTTP with the registry, as is always done on this machine.
    #[arg(long)]
    plain_http: bool,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// A label and annotation, instead of or beside the usual ones; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("is not KEY=VALUE".to_owned()),
    }
}

/// What became of one module.
#[derive(Debug, Serialize)]
struct Bundled {
    /// The module's file.
    module: PathBuf,
    /// Its size in bytes.
    size: usize,
    /// Its SHA-256, for Envoy's `code.remote`.
    sha256: String,
    /// The image's name, without registry and tag.
    image: String,
    /// The digest of the image's manifest.
    digest: String,
    /// What is pulled altogether, in bytes.
    pulled: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<PathBuf>,
    #[serde(skip)]
    repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<String>,
    /// The `url` of a WasmPlugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

pub(crate) fn run(args: &Args, as_json: bool) -> anyhow::Result<Verdict> {
    if !valid_tag(&args.tag) {
        bail!(
            "{:?} is not a tag: use letters, digits, `_`, `.` and `-`, 128 at most",
            args.tag
        );
    }
    let mut all = Vec::new();
    let paths = modules(args)?;
    modules::complain_of_skew(paths.iter().map(PathBuf::as_path));
    for path in paths {
        let (image, mut bundled) = bundle(&path, args)?;
        if let Some(folder) = &args.output {
            let folder = folder.join(&image.name);
            layout::write(&folder, &image, &args.tag)
                .with_context(|| format!("cannot write {}", folder.display()))?;
            bundled.layout = Some(folder);
        }
        if let Some(prefix) = &args.push {
            let repository = format!("{}/{}", prefix.trim_end_matches('/'), image.name);
            push_to(&repository, &image, args)?;
            bundled.url = Some(format!("oci://{repository}@{}", image.manifest.digest));
            bundled.pushed = Some(format!("{repository}:{}", args.tag));
            bundled.repository = Some(repository);
        }
        if !as_json {
            output::text(&text(&bundled))?;
        }
        all.push(bundled);
    }
    for path in &args.pin {
        pin(path, &all, as_json)?;
    }
    if as_json {
        output::text(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    }
    Ok(Verdict::Clean)
}

/// Pins what was bundled in manifests, and tells where.
fn pin(path: &Path, bundled: &[Bundled], as_json: bool) -> anyhow::Result<()> {
    let pins: Vec<pin::Pin<'_>> = bundled
        .iter()
        .map(|one| pin::Pin {
            image: &one.image,
            repository: one.repository.clone(),
            digest: &one.digest,
        })
        .collect();
    let pinned = pin::pin(path, &pins)?;
    if pinned.is_empty() {
        bail!("no manifest in {} names one of the images", path.display());
    }
    let lines = pinned.iter().map(|one| {
        let file = one.file.display();
        match one.references {
            1 => format!("pinned  {file}\n"),
            more => format!("pinned  {file}, {more} times\n"),
        }
    });
    if !as_json {
        output::text(&lines.collect::<String>())?;
    }
    Ok(())
}

#[cfg(feature = "registry")]
fn push_to(repository: &str, image: &Image, args: &Args) -> anyhow::Result<()> {
    let target = format!("{repository}:{}", args.tag);
    push::push(&target, image, args.plain_http).with_context(|| format!("cannot push {target}"))
}

#[cfg(not(feature = "registry"))]
fn push_to(_: &str, _: &Image, _: &Args) -> anyhow::Result<()> {
    bail!(
        "this meshpack cannot push: install it with the feature `registry`, or use --output and a tool such as skopeo"
    )
}

/// The files to bundle.
fn modules(args: &Args) -> anyhow::Result<Vec<PathBuf>> {
    let file = |name: &str| modules::find(args.folder.as_deref(), name);
    if args.modules.is_empty() {
        let all = Filter::ALL.iter().map(|filter| file(filter.name()));
        return all
            .collect::<anyhow::Result<_>>()
            .context("say which modules to bundle, or where they are");
    }
    let named = |name: &String| {
        if name.contains('/') || name.ends_with(".wasm") {
            Ok(PathBuf::from(name))
        } else {
            file(name)
        }
    };
    args.modules.iter().map(named).collect()
}

/// SHA-256 of a module, in hexadecimal digits.
pub(crate) fn sha256(wasm: &[u8]) -> String {
    image::sha256(wasm)
}

/// The digest of the image that is made of the pack's own module, unless told otherwise.
pub(crate) fn digest(filter: Filter, wasm: &[u8]) -> std::io::Result<String> {
    let labels = labels_of(filter.name(), modules::VERSION);
    Ok(Image::new(filter.name(), wasm, &labels)?.manifest.digest)
}

fn bundle(path: &Path, args: &Args) -> anyhow::Result<(Image, Bundled)> {
    let wasm = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !wasm.starts_with(b"\0asm") {
        bail!("{} is not a WebAssembly module", path.display());
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.to_lowercase();
    if !valid_name(&name) {
        bail!("{name:?} is not a name for an image: call the file otherwise");
    }
    let labels = labels(&stem, args);
    let image = Image::new(&name, &wasm, &labels)?;
    let bundled = Bundled {
        module: path.to_owned(),
        size: wasm.len(),
        sha256: image::sha256(&wasm),
        image: name,
        digest: image.manifest.digest.clone(),
        pulled: image.blobs().iter().map(|blob| blob.bytes.len()).sum(),
        layout: None,
        repository: None,
        pushed: None,
        url: None,
    };
    Ok((image, bundled))
}

/// The labels of the OCI image specification, then what the user says.
fn labels(stem: &str, args: &Args) -> BTreeMap<String, String> {
    let mut labels = labels_of(stem, &args.tag);
    labels.extend(args.label.iter().cloned());
    labels
}

fn labels_of(stem: &str, tag: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut set = |key: &str, value: &str| {
        labels.insert(format!("org.opencontainers.image.{key}"), value.to_owned());
    };
    set("title", stem);
    set("version", tag);
    // Of a module of somebody's own nothing more is known.
    if let Some(filter) = Filter::ALL.into_iter().find(|filter| filter.name() == stem) {
        set("description", filter.record().description);
        set("licenses", env!("CARGO_PKG_LICENSE"));
        set("source", env!("CARGO_PKG_REPOSITORY"));
    }
    labels
}

/// A path component of a repository, as the distribution specification has it.
fn valid_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && name.bytes().all(|b| inner(b) || b"-._".contains(&b))
        && !["..", "___", "._", "_."]
            .iter()
            .any(|bad| name.contains(bad))
}

fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn text(bundled: &Bundled) -> String {
    let kib = |bytes: usize| format!("{:.0} KiB", bytes as f64 / 1024.0);
    let mut text = format!(
        "{}: {}, {} to pull\n  digest  {}\n  module  sha256:{}\n",
        bundled.image,
        kib(bundled.size),
        kib(bundled.pulled),
        bundled.digest,
        bundled.sha256
    );
    if let Some(layout) = &bundled.layout {
        text.push_str(&format!("  layout  {}\n", layout.display()));
    }
    if let (Some(pushed), Some(url)) = (&bundled.pushed, &bundled.url) {
        text.push_str(&format!("  pushed  {pushed}\n  url     {url}\n"));
    }
    text
}
