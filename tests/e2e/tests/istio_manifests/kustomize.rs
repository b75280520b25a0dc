//! Building the bases and overlays as kustomize does, for the part of kustomize
//! that they use; anything else is refused, so that what is tested is what is built.

use std::path::Path;

use serde_json::Value;

use super::documents;

/// The resources that `kubectl apply -k FOLDER` would apply.
pub(crate) fn build(folder: &Path) -> Result<Vec<Value>, String> {
    let file = folder.join("kustomization.yaml");
    let file =
        std::fs::canonicalize(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let here = |what: String| format!("{}: {what}", file.display());
    let [kustomization] = documents(&file)
        .try_into()
        .map_err(|_| here("is not one document".to_owned()))?;
    only(
        &kustomization,
        &["apiVersion", "kind", "resources", "patches"],
    )
    .map_err(here)?;
    if kustomization["apiVersion"] != "kustomize.config.k8s.io/v1beta1"
        || kustomization["kind"] != "Kustomization"
    {
        return Err(here("is not a Kustomization".to_owned()));
    }
    let mut built: Vec<Value> = Vec::new();
    for resource in list(&kustomization, "resources").map_err(here)? {
        let name = resource.as_str().unwrap_or_default();
        let path = file.parent().unwrap_or(folder).join(name);
        let found = if path.is_dir() {
            build(&path)?
        } else if path.is_file() {
            documents(&path)
        } else {
            return Err(here(format!("{name} is not there")));
        };
        for one in found {
            if built.iter().any(|other| identity(other) == identity(&one)) {
                return Err(here(format!("{} is there twice", identity(&one))));
            }
            built.push(one);
        }
    }
    for patch in list(&kustomization, "patches").map_err(here)? {
        apply(&patch, &mut built).map_err(here)?;
    }
    Ok(built)
}

/// Group, kind, namespace and name.
pub(crate) fn identity(resource: &Value) -> String {
    let text = |pointer: &str| {
        let found = resource.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let api = text("/apiVersion");
    let group = api.split('/').next().unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    format!("{group} {} {namespace}/{name}", text("/kind"))
}

fn apply(patch: &Value, resources: &mut [Value]) -> Result<(), String> {
    only(patch, &["target", "patch"])?;
    let target = &patch["target"];
    only(target, &["group", "version", "kind", "name", "namespace"])?;
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-./".contains(&b))
    };
    let fits = |key: &str, actual: &str| match target.get(key).map(Value::as_str) {
        None => Ok(true),
        // Names are expressions in kustomize; these are names.
        Some(Some(text)) if plain(text) => Ok(text == actual),
        Some(_) => Err(format!("target.{key} is not a plain name")),
    };
    let mut hits = 0;
    for resource in resources {
        let field = |pointer: &str| {
            let found = resource.pointer(pointer).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let api = field("/apiVersion");
        let (group, version) = api.split_once('/').unwrap_or(("", &api));
        let is_meant = fits("group", group)?
            && fits("version", version)?
            && fits("kind", &field("/kind"))?
            && fits("name", &field("/metadata/name"))?
            && fits("namespace", &field("/metadata/namespace"))?;
        if is_meant {
            hits += 1;
            let text = patch["patch"].as_str().ok_or("a patch must be text")?;
            let operations = meshpack_harness::config::literal::parse(&format!("all:\n{text}"))
                .map_err(|error| error.to_string())?;
            for operation in list(&operations, "all")? {
                operate(&operation, resource)?;
            }
        }
    }
    match hits {
        1 => Ok(()),
        hits => Err(format!("the target {target} is {hits} resources")),
    }
}

/// One operation of a JSON patch (RFC 6902).
fn operate(operation: &Value, resource: &mut Value) -> Result<(), String> {
    only(operation, &["op", "path", "value"])?;
    let path = operation["path"]
        .as_str()
        .ok_or("an operation needs a path")?;
    let value = operation.get("value").ok_or("an operation needs a value")?;
    match operation["op"].as_str() {
        Some("replace") => {
            let place = resource.pointer_mut(path);
            *place.ok_or(format!("{path} is not there to be replaced"))? = value.clone();
        }
        Some("add") => {
            let (parent, key) = path.rsplit_once('/').ok_or("a path begins with /")?;
            let parent = resource.pointer_mut(parent).and_then(Value::as_object_mut);
            let parent = parent.ok_or(format!("{path} has no object to be added to"))?;
            if parent.insert(key.to_owned(), value.clone()).is_some() {
                return Err(format!("{path} is there already: replace it"));
            }
        }
        other => {
            return Err(format!(
                "the operation {other:?} is none of those used here"
            ));
        }
    }
    Ok(())
}

fn only(object: &Value, keys: &[&str]) -> Result<(), String> {
    let fields = object.as_object().ok_or("must be an object")?;
    match fields.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!(
            "{key} is no part of kustomize that is checked here"
        )),
        None => Ok(()),
    }
}

fn list(object: &Value, key: &str) -> Result<Vec<Value>, String> {
    match object.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(_) => Err(format!("{key} must be a list")),
    }
}
