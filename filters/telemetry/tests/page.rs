//! The page's table of fields and the schema say the same.

use std::collections::BTreeMap;

use serde_json::Value;

/// What the schema says of a field.
#[derive(Debug)]
struct Field<'s> {
    schema: &'s Value,
    required: bool,
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn is_object(schema: &Value) -> bool {
    schema["properties"].is_object()
}

/// All fields below `path` that have no fields themselves.
fn leaves<'s>(
    root: &'s Value,
    path: &str,
    schema: &'s Value,
    out: &mut BTreeMap<String, Field<'s>>,
) {
    let fields = schema["properties"].as_object();
    for (name, field) in fields.into_iter().flatten() {
        let path = format!("{path}{name}");
        let target = resolved(root, field);
        let items = resolved(root, &target["items"]);
        let entries = resolved(root, &target["additionalProperties"]);
        let forms = target["oneOf"].as_array().into_iter().flatten();
        if is_object(target) {
            leaves(root, &format!("{path}."), target, out);
        } else if is_object(items) {
            leaves(root, &format!("{path}[]."), items, out);
        } else if is_object(entries) {
            leaves(root, &format!("{path}.<metric>."), entries, out);
        } else if let Some(form) = forms.into_iter().find(|form| is_object(form)) {
            leaves(root, &format!("{path}."), form, out);
        } else {
            let names = schema["required"].as_array().into_iter().flatten();
            let required = names.into_iter().any(|required| required == name.as_str());
            // A default stands beside a reference, not in what it refers to.
            out.insert(
                path,
                Field {
                    schema: field,
                    required,
                },
            );
        }
    }
}

/// Rows of the table: the field, what is said of it, its default.
fn rows(page: &str) -> BTreeMap<String, (String, String)> {
    let table = page.split("\n## Fields\n").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [field, meaning, default] = cells[..] else {
            panic!("three columns: {row}")
        };
        let field = field.trim_matches('`').to_owned();
        (field, (meaning.to_owned(), default.to_owned()))
    })
    .collect()
}

#[test]
fn the_table_of_fields_says_what_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../schema.json")).unwrap();
    let mut fields = BTreeMap::new();
    leaves(&schema, "", &schema, &mut fields);
    assert!(fields.len() > 20, "{fields:#?}");
    let rows = rows(include_str!("../README.md"));

    for (path, field) in &fields {
        let (meaning, default) = rows
            .get(path)
            .unwrap_or_else(|| panic!("no row for {path}"));
        assert_eq!(default == "required", field.required, "{path}: {default}");
        if let Some(value) = field.schema.get("default") {
            let value = value.as_str().map_or(value.to_string(), str::to_owned);
            assert_eq!(*default, format!("`{value}`"), "{path}");
        }
        let bounds = ["minimum", "maximum"].map(|bound| field.schema[bound].as_u64());
        if let [Some(least), Some(most)] = bounds {
            let range = format!("{least} to {most}");
            assert!(
                meaning.contains(&range),
                "{path}: {range} is not in {meaning}"
            );
        }
    }
    for row in rows.keys() {
        let holds = |path: &&String| path.starts_with(&format!("{row}."));
        let known = fields.contains_key(row) || fields.keys().any(|path| holds(&path));
        assert!(known, "{row} is not in the schema");
    }
}
