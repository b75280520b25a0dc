#!/usr/bin/env bash
# A crate's tests are one program: a file that no `mod` names would never run.
set -euo pipefail
cd "$(dirname "$0")/.."

lost=0
for root in $(git ls-files '*/tests/main.rs'); do
    folder=$(dirname "$root")
    manifest=$(dirname "$folder")/Cargo.toml
    while read -r file; do
        case $file in
            "$root") continue ;;
            */mod.rs) name=$(basename "$(dirname "$file")") parent=$(dirname "$(dirname "$file")") ;;
            *) name=$(basename "$file" .rs) parent=$(dirname "$file") ;;
        esac
        # The root, a mod.rs, or the file that is called like the folder.
        if ! grep -qE "^ *(pub(\([a-z]+\))? )?mod $name( \{|;)" \
            "$parent/main.rs" "$parent/mod.rs" "$parent.rs" 2> /dev/null \
            && ! grep -qF "path = \"${file#"$(dirname "$folder")"/}\"" "$manifest"; then
            echo "$file: no file names it as a module, so its tests do not run" >&2
            lost=1
        fi
    done < <(git ls-files --cached --others --exclude-standard "$folder/*.rs")
done
exit $lost
