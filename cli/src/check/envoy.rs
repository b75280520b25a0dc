//! Loading what was checked in a stock Envoy.

use std::path::Path;

use anyhow::Context as _;
use meshpack_harness::{Envoy, Listener, Route, StartError, WasmFilter};

use super::code;
use super::file::Checked;
use super::finding::Finding;
use crate::json;
use crate::modules;

/// Loads a file's configurations; what Envoy refuses becomes a finding.
///
/// # Errors
/// There is no Envoy or no module, which says nothing about the configuration.
pub(super) fn load(
    file: &str,
    text: &str,
    checked: &[Checked<'_>],
    modules: Option<&Path>,
) -> anyhow::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    let mut findings = Vec::new();
    let in_bootstrap = checked.iter().find(|checked| checked.in_bootstrap());
    if let Some(first) = in_bootstrap {
        let builder = Envoy::from_bootstrap(text)
            .with_context(|| format!("{file}: not one bootstrap that Envoy could read"))?;
        let started = runtime.block_on(builder.folder(here).quiet().start());
        findings.extend(refusal(first, "the bootstrap", started)?);
    }
    for checked in checked.iter().filter(|checked| !checked.in_bootstrap()) {
        let name = checked.filter.name();
        let module = std::path::absolute(modules::find(modules, name)?)?;
        modules::complain_of_skew([module.as_path()]);
        let filter = WasmFilter::new(name, module).config_text(json::text(&checked.open.node));
        let listener = Listener::new("check")
            .filter(filter)
            .route(Route::direct(200, "ok"));
        let started = runtime.block_on(Envoy::builder().listener(listener).quiet().start());
        findings.extend(refusal(checked, "the configuration", started)?);
    }
    Ok(findings)
}

fn refusal(
    checked: &Checked<'_>,
    what: &str,
    started: Result<Envoy, StartError>,
) -> anyhow::Result<Option<Finding>> {
    match started {
        Ok(_) => Ok(None),
        Err(error @ (StartError::Exited { .. } | StartError::NotReady { .. })) => {
            Ok(Some(Finding {
                code: &code::REFUSED,
                file: checked.file.to_owned(),
                position: checked.position,
                path: checked.path.clone(),
                message: format!("a stock Envoy refuses {what}: {error}"),
            }))
        }
        Err(error) => Err(error.into()),
    }
}
