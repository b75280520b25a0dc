//! The bootstrap settings that `make build` leaves beside the modules.

use std::path::Path;

use crate::common::meshpack_in;

#[test]
fn the_built_stats_tags_are_those_of_all_filters() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = std::fs::read_to_string(workspace.join("dist/stats-tags.yaml"));
    let built = built.expect("dist/stats-tags.yaml: run `make build`");
    let printed = meshpack_in(workspace, &["tags"]);
    assert_eq!(printed.code, 0, "{}", printed.err);
    assert_eq!(built, printed.out);
    for label in ["split", "authz_policy", "budget", "response_code"] {
        assert!(built.contains(&format!("tag_name: {label},")), "{label}");
    }
}
