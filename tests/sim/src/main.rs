//! Writes the simulation's results into `docs/simulation/`.

use std::path::Path;

use anyhow::{Context, Result};
use meshpack_sim::Report;

fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulation");
    std::fs::create_dir_all(&folder)?;
    let report = Report::simulate();
    for (name, text) in report.files() {
        let path = folder.join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("{} was not written", path.display()))?;
    }
    print!("{}\n{}", report.comparison_table(), report.settings_table());
    Ok(())
}
