//! The page on explain: its commands print what it shows, its options exist.

use std::fs;
use std::path::Path;

use crate::common::meshpack_in;

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md");
    fs::read_to_string(page).unwrap()
}

fn block<'a>(page: &'a str, fence: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{fence}\n");
    page.split(&*fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn the_commands_print_what_the_page_shows() {
    let page = page();
    let folder = tempfile::tempdir().unwrap();
    let config = block(&page, "yaml").next().unwrap();
    fs::write(folder.path().join("payments.yaml"), config).unwrap();
    let mut run = 0;
    for console in block(&page, "console") {
        let (command, shown) = console.split_once('\n').unwrap();
        let words = command.strip_prefix("$ meshpack ").unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let ran = meshpack_in(folder.path(), &words);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.out, shown, "{command} prints:\n{}", ran.out);
        run += 1;
    }
    assert_eq!(run, 2);
}

#[test]
fn the_page_names_every_option() {
    let page = page();
    let help = meshpack_in(Path::new("."), &["explain", "--help"]);
    assert_eq!(help.code, 0, "{}", help.err);
    let options = help.out.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("-h, ").unwrap_or(line);
        line.starts_with("--")
            .then(|| line.split(' ').next().unwrap())
    });
    let options: Vec<&str> = options.filter(|option| *option != "--help").collect();
    assert!(options.len() > 15, "{options:?}");
    for option in options {
        assert!(
            page.contains(&format!("`{option}")),
            "{option} is not on the page"
        );
    }
}
