use meshpack_sdk::config;

use super::*;
use crate::yaml;

fn read(text: &str) -> Result<Suite, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.wasm"), "").unwrap();
    let manifest = "kind: WasmPlugin\nspec: {pluginConfig: {b: 1, a: 2}}\n";
    std::fs::write(folder.path().join("plugin.yaml"), manifest).unwrap();
    let mut files = Files::new(folder.path().to_owned());
    let documents = yaml::parse(text).unwrap();
    config::read_node(documents[0].root().node(), |v| Suite::read(&v, &mut files))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

const GOOD: &str = "
plugins: [{name: p, module: p.wasm, config: {z: 1, a: 2}}]
upstreams: {v1: {}, v2: {status: 503}}
scenarios:
- name: short
  send: {}
  expect: {status: 200}
- name: long
  upstreams: {v2: {delay: 1s}}
  plugins: [{name: p, module: p.wasm, configFile: plugin.yaml}]
  steps:
  - {name: first, send: {}, expect: {upstream: v1}}
  - {name: second, upstreams: {v1: {down: true}}, pause: 1s}
";

#[test]
fn scenarios_take_from_the_file_what_they_do_not_say() {
    let suite = read(GOOD).unwrap();
    let [short, long] = suite.scenarios.as_slice() else {
        panic!("two scenarios")
    };
    assert_eq!(short.steps.len(), 1);
    assert_eq!(short.steps[0].name, "short");
    assert_eq!(long.steps.len(), 2);
    let names: Vec<_> = long
        .setup
        .upstreams
        .iter()
        .map(|u| u.name.as_str())
        .collect();
    assert_eq!(names, ["v1", "v2"]);
    let config = |scenario: &Scenario| match &scenario.setup.config {
        setup::Config::Made { filters, .. } => match &filters[0] {
            setup::Filter::Plugin(plugin) => plugin.config.clone().unwrap(),
            setup::Filter::Envoy(_) => String::new(),
        },
        setup::Config::Bootstrap { .. } => String::new(),
    };
    assert_eq!(config(short), r#"{"z":1,"a":2}"#);
    assert_eq!(config(long), r#"{"b":1,"a":2}"#);
}

#[test]
fn every_mistake_is_told_with_its_path() {
    let problems = read(
        "
plugins: [{name: p, module: q.wasm}, {name: other}]
upstreams: {v1: {statuss: 200}}
scenarios: [{name: a}]
colour: red
",
    )
    .unwrap_err();
    let starts = |start: &str| {
        assert!(
            problems.iter().any(|p| p.starts_with(start)),
            "{start}: {problems:#?}"
        );
    };
    starts("plugins[0].module: ");
    starts("plugins[1]: no module other.wasm in ");
    starts("upstreams.v1.statuss: unknown key");
    starts("colour: unknown key");
}

#[test]
fn steps_that_cannot_mean_anything_are_refused() {
    for (scenario, expected) in [
        ("{name: a}", "does nothing"),
        ("{name: a, expect: {status: 200}}", "sends none"),
        (
            "{name: a, send: {}, expect: {sticky: true}}",
            "sticky users",
        ),
        (
            "{name: a, send: {}, expect: {upstream: v9}}",
            "no upstream \"v9\"",
        ),
        ("{name: a, steps: []}", "is empty"),
        (
            "{name: a, send: {}, bootstrap: p.wasm, plugins: []}",
            "brings its own",
        ),
        (
            "{name: a, send: {}, routes: [{prefix: /}]}",
            "must say where to",
        ),
        (
            "{name: a, send: {principal: 'spiffe://a'}, bootstrap: p.wasm}",
            "a listener made here",
        ),
    ] {
        let text = format!(
            "upstreams: {{v1: {{}}}}\nplugins: [{{name: p, module: p.wasm}}]\nscenarios: [{scenario}]"
        );
        let problems = read(&text).unwrap_err().join("\n");
        assert!(problems.contains(expected), "{scenario}: {problems}");
    }
}

#[test]
fn versions_are_one_several_or_the_matrix() {
    let envoy =
        |words: &str| read(&format!("envoy: {words}\n{GOOD}")).map(|suite| suite.envoy.len());
    assert_eq!(envoy("1.40.0"), Ok(1));
    assert_eq!(envoy("[1.36.4, 1.40.0]"), Ok(2));
    assert_eq!(envoy("matrix"), Ok(5));
    assert!(envoy("newest").unwrap_err()[0].contains("not an Envoy version"));
}
