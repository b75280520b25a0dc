//! The commands on the pages of check and translate.

use std::path::Path;

use crate::common::meshpack_in;

#[test]
fn commands_on_the_pages_succeed() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut run = 0;
    for page in [
        "docs/check.md",
        "docs/translate.md",
        "docs/migrate-from-istio.md",
        "docs/migrate-from-gateway-api.md",
        "docs/migrate-from-linkerd.md",
        "docs/migrate-from-consul.md",
        "docs/migrate-from-app-mesh.md",
        "docs/migrate-from-cilium.md",
    ] {
        let text = std::fs::read_to_string(workspace.join(page)).unwrap();
        let mut in_block = false;
        for line in text.lines() {
            if line.starts_with("```") {
                in_block = line == "```sh";
                continue;
            }
            let Some(command) = line.strip_prefix("meshpack ").filter(|_| in_block) else {
                continue;
            };
            let words: Vec<&str> = command.split_whitespace().collect();
            let ran = meshpack_in(workspace, &words);
            assert_eq!(ran.code, 0, "{page}: {command}\n{}{}", ran.out, ran.err);
            run += 1;
        }
    }
    assert!(run >= 20, "{run} commands");
}
