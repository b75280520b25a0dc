//! The README shows the example as it is built and run.

#[test]
fn the_readme_shows_the_example_file() {
    let example = include_str!("../examples/tag_tenant.rs");
    let readme = include_str!("../README.md");
    assert!(
        readme.contains(example.trim()),
        "copy sdk/examples/tag_tenant.rs into sdk/README.md"
    );
    assert!(example.lines().count() <= 50, "the example stays small");
}
