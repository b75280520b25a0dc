//! What the servers serve.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder of files, and the secret that marks the guarded ones.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder: `public/`, `admin/`, `api/admin/`.
    pub root: PathBuf,
    /// What every answer of a guarded resource contains, and no other.
    pub secret: String,
}

/// Finds its page by what follows its own name; the secret is not in its text.
const FRONT_CONTROLLER: &str = r#"<?php
$guarded = preg_match("~^/(api/)?admin(/|$)~", $_SERVER["PATH_INFO"] ?? "");
echo $guarded ? getenv("SECRET") ?: $_SERVER["SECRET"] : "public";
"#;

impl Site {
    /// Writes the files into `root`, with a secret of this process.
    pub(crate) fn write(root: &Path) -> io::Result<Self> {
        let secret = format!("secret-{:08x}-of-the-guarded-area", std::process::id());
        let script = format!("<?php echo \"{secret}\\n\";\n");
        for guarded in ["admin", "api/admin"] {
            fs::create_dir_all(root.join(guarded))?;
            for (name, text) in [
                ("index.html", secret.as_str()),
                ("secret.txt", &secret),
                ("secret.php", &script),
            ] {
                fs::write(root.join(guarded).join(name), text)?;
            }
        }
        fs::create_dir_all(root.join("public/a"))?;
        for public in [
            "index.html",
            "public/index.html",
            "public/a/index.html",
            "x",
        ] {
            fs::write(root.join(public), "public")?;
        }
        fs::write(root.join("public/page.php"), "<?php echo 'public';\n")?;
        fs::write(root.join("index.php"), FRONT_CONTROLLER)?;
        Ok(Self {
            root: root.to_owned(),
            secret,
        })
    }
}
