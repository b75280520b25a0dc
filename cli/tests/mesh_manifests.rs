//! The manifests for Consul and Envoy Gateway: no field that these do not have, a
//! configuration that the filter takes, and a stock Envoy that runs it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::meshpack_in;
use meshpack_cli::{Filter, json, yaml};
use meshpack_sdk::config::Node;
use serde::Deserialize;
use serde_json::Value;

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents = yaml::parse(&text).unwrap();
    documents
        .iter()
        .map(|d| json::value(d.root().node()))
        .collect()
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(workspace().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

/// A plugin as a manifest has it.
#[derive(Debug)]
struct Plugin {
    name: String,
    root_id: String,
    /// File name, URL or image of the module.
    module: String,
    /// As JSON text.
    config: String,
}

impl Plugin {
    /// The filter takes its configuration, and the names agree.
    fn check(&self, file: &Path) {
        let file = file.display();
        let filter = Filter::of_name(&self.name);
        let filter = filter.unwrap_or_else(|| panic!("{file}: {} is no filter", self.name));
        assert_eq!(self.root_id, self.name, "{file}");
        assert_eq!(
            Filter::of_name(&self.module),
            Some(filter),
            "{file}: {}",
            self.module
        );
        let config = Node::from_plugin_configuration(self.config.as_bytes()).unwrap();
        let problems = filter.problems(&config);
        assert!(problems.is_empty(), "{file}: {problems:?}");
    }
}

mod consul {
    //! What Consul's `builtin/wasm` and the resources beside it take. Consul compares
    //! names of arguments without case.

    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[allow(dead_code, reason = "that they parse is the test")]
    pub(super) struct Extension {
        name: String,
        required: bool,
        arguments: Arguments,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Arguments {
        protocol: String,
        listener_type: String,
        proxy_type: String,
        plugin_config: PluginConfig,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct PluginConfig {
        name: String,
        #[serde(rename = "rootID")]
        root_id: String,
        vm_config: VmConfig,
        configuration: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct VmConfig {
        #[serde(rename = "vmID")]
        vm_id: String,
        runtime: String,
        code: Code,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    enum Code {
        Local {
            filename: String,
        },
        Remote {
            #[serde(rename = "httpURI")]
            http_uri: HttpUri,
            #[serde(rename = "SHA256")]
            sha256: String,
        },
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "that they parse is the test")]
    struct HttpUri {
        service: BTreeMap<String, String>,
        uri: String,
        timeout: String,
    }

    impl Extension {
        pub(super) fn plugin(self) -> Plugin {
            let Arguments {
                protocol,
                listener_type,
                proxy_type,
                plugin_config,
            } = self.arguments;
            assert_eq!(self.name, "builtin/wasm");
            assert_eq!(
                (protocol.as_str(), proxy_type.as_str()),
                ("http", "connect-proxy")
            );
            assert!(["inbound", "outbound"].contains(&listener_type.as_str()));
            assert_eq!(plugin_config.vm_config.runtime, "v8");
            assert_eq!(plugin_config.vm_config.vm_id, plugin_config.name);
            let module = match plugin_config.vm_config.code {
                Code::Local { filename } => filename,
                Code::Remote { http_uri, sha256 } => {
                    assert_eq!(sha256.len(), 64);
                    http_uri.uri
                }
            };
            Plugin {
                name: plugin_config.name,
                root_id: plugin_config.root_id,
                module,
                config: plugin_config.configuration,
            }
        }
    }

    /// The plugins of a Kubernetes resource; the kinds beside them must be known.
    pub(super) fn plugins(resource: &Value) -> Vec<Plugin> {
        assert_eq!(resource["apiVersion"], "consul.hashicorp.com/v1alpha1");
        assert!(resource["metadata"]["name"].is_string());
        let spec = resource["spec"].as_object().unwrap();
        let only = |known: &[&str]| {
            assert!(
                spec.keys().all(|key| known.contains(&key.as_str())),
                "{spec:?}"
            );
        };
        match resource["kind"].as_str().unwrap() {
            "ServiceDefaults" => {
                only(&["protocol", "envoyExtensions"]);
                assert_eq!(spec["protocol"], "http");
                let extensions = spec["envoyExtensions"].as_array().unwrap().iter();
                extensions
                    .map(|e| {
                        serde_json::from_value::<Extension>(e.clone())
                            .unwrap()
                            .plugin()
                    })
                    .collect()
            }
            "ServiceResolver" => {
                only(&["defaultSubset", "subsets"]);
                let default = spec["defaultSubset"].as_str().unwrap();
                assert!(spec["subsets"].get(default).is_some());
                Vec::new()
            }
            "ServiceRouter" => {
                only(&["routes"]);
                Vec::new()
            }
            other => panic!("unexpected {other}"),
        }
    }

    /// The keys of a configuration entry in HCL begin with capitals, those of the
    /// resources do not.
    pub(super) fn as_in_resources(value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| {
                    let mut letters = key.chars();
                    let first = letters.next().map(|c| c.to_ascii_lowercase());
                    (
                        first.into_iter().chain(letters).collect::<String>(),
                        as_in_resources(value),
                    )
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(as_in_resources).collect(),
            other => other,
        }
    }
}

mod gateway {
    //! What Envoy Gateway's `EnvoyExtensionPolicy` takes.

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[allow(dead_code, reason = "that they parse is the test")]
    struct Policy {
        target_refs: Vec<Target>,
        wasm: Vec<Wasm>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        group: String,
        kind: String,
        name: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[allow(dead_code, reason = "that they parse is the test")]
    struct Wasm {
        name: String,
        #[serde(rename = "rootID")]
        root_id: String,
        fail_open: bool,
        code: Code,
        config: Value,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Code {
        r#type: String,
        image: Option<Image>,
        http: Option<Http>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Image {
        url: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Http {
        url: String,
        sha256: String,
    }

    /// The plugins of a resource; the kinds beside them must be known.
    pub(super) fn plugins(resource: &Value) -> Vec<Plugin> {
        match resource["kind"].as_str().unwrap() {
            "HTTPRoute" => {
                assert_eq!(resource["apiVersion"], "gateway.networking.k8s.io/v1");
                return Vec::new();
            }
            "BackendTrafficPolicy" => {
                assert_eq!(resource["apiVersion"], "gateway.envoyproxy.io/v1alpha1");
                return Vec::new();
            }
            "EnvoyExtensionPolicy" => {}
            other => panic!("unexpected {other}"),
        }
        assert_eq!(resource["apiVersion"], "gateway.envoyproxy.io/v1alpha1");
        let policy: Policy = serde_json::from_value(resource["spec"].clone()).unwrap();
        for target in &policy.target_refs {
            assert_eq!(target.group, "gateway.networking.k8s.io");
            assert!(["Gateway", "HTTPRoute", "GRPCRoute"].contains(&target.kind.as_str()));
            assert!(!target.name.is_empty());
        }
        policy.wasm.into_iter().map(plugin).collect()
    }

    fn plugin(wasm: Wasm) -> Plugin {
        let module = match (wasm.code.r#type.as_str(), wasm.code.image, wasm.code.http) {
            ("Image", Some(image), None) => {
                let (name, digest) = image.url.split_once("@sha256:").expect("a digest");
                assert_eq!(digest.len(), 64);
                name.to_owned()
            }
            ("HTTP", None, Some(http)) => {
                assert_eq!(http.sha256.len(), 64);
                http.url
            }
            (kind, ..) => panic!("{kind} without its field, or with another's"),
        };
        Plugin {
            name: wasm.name,
            root_id: wasm.root_id,
            module,
            config: wasm.config.to_string(),
        }
    }
}

fn consul_plugins() -> Vec<(PathBuf, Plugin)> {
    let mut plugins = Vec::new();
    for file in files("consul-manifests", "yaml") {
        let found = documents(&file)
            .iter()
            .flat_map(consul::plugins)
            .collect::<Vec<_>>();
        plugins.extend(found.into_iter().map(|plugin| (file.clone(), plugin)));
    }
    for file in files("consul-manifests", "hcl") {
        let entry: Value = hcl::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(entry["Kind"], "proxy-defaults");
        let extensions = consul::as_in_resources(entry["EnvoyExtensions"].clone());
        let extensions: Vec<consul::Extension> = serde_json::from_value(extensions).unwrap();
        let found = extensions.into_iter().map(consul::Extension::plugin);
        plugins.extend(found.map(|plugin| (file.clone(), plugin)));
    }
    plugins
}

fn gateway_plugins() -> Vec<(PathBuf, Plugin)> {
    let mut plugins = Vec::new();
    for file in files("envoy-gateway-manifests", "yaml") {
        let found = documents(&file)
            .iter()
            .flat_map(gateway::plugins)
            .collect::<Vec<_>>();
        plugins.extend(found.into_iter().map(|plugin| (file.clone(), plugin)));
    }
    plugins
}

#[test]
fn every_filter_has_a_manifest_for_consul_that_it_takes() {
    let plugins = consul_plugins();
    assert_eq!(plugins.len(), 5);
    plugins.iter().for_each(|(file, plugin)| plugin.check(file));
}

#[test]
fn every_filter_has_a_manifest_for_envoy_gateway_that_it_takes() {
    let plugins = gateway_plugins();
    assert_eq!(plugins.len(), 5);
    plugins.iter().for_each(|(file, plugin)| plugin.check(file));
}

#[test]
fn a_stock_envoy_runs_every_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut scenarios = String::from("upstreams: {v1: {}, v2: {}}\nscenarios:\n");
    for (file, plugin) in consul_plugins().into_iter().chain(gateway_plugins()) {
        let mesh = file
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy();
        let config: Value = serde_json::from_str(&plugin.config).unwrap();
        scenarios.push_str(&format!(
            "- name: {} of {mesh}\n  plugins: [{{name: {}, config: {config}}}]\n  send: {{path: /orders, host: payments.example.com, count: 20}}\n  expect: {{status: 200}}\n",
            plugin.name, plugin.name
        ));
    }
    fs::write(folder.path().join("s.yaml"), scenarios).unwrap();
    let dist = workspace().join("dist");
    let args = ["verify", "s.yaml", "--modules", dist.to_str().unwrap()];
    let ran = meshpack_in(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("10 scenarios passed"), "{}", ran.out);
}

#[test]
fn a_stock_envoy_loads_the_pack_for_istio() {
    let pack = |kind: &str, side: &str| format!("istio-manifests/meshpack/{kind}-{side}.yaml");
    let files = [
        pack("wasmplugin", "inbound"),
        pack("wasmplugin", "outbound"),
        pack("wasmplugin", "gateway"),
        pack("trafficextension", "inbound"),
        pack("trafficextension", "outbound"),
        pack("trafficextension", "gateway"),
    ];
    // A cluster has one of the two forms.
    let mut args = vec!["check", "--allow", "MP106", "--envoy", "--modules", "dist"];
    args.extend(files.iter().map(String::as_str));
    let ran = meshpack_in(&workspace(), &args);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("6 configurations checked"), "{}", ran.out);
}
