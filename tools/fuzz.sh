#!/usr/bin/env bash
# Runs the fuzz targets of tests/fuzz, one on each processor, for FUZZ_SECONDS (600)
# each, or only those named in FUZZ_TARGETS. Needs neither nightly nor cargo-fuzz:
# stable rustc passes LLVM the coverage flags that libFuzzer lives from.
# Corpora grow in target/fuzz/corpus; a finding is kept in target/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-600}
host=$(rustc -vV | sed -n 's/^host: //p')
out=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/fuzz
targets=${FUZZ_TARGETS:-$(basename -s .rs -a tests/fuzz/fuzz_targets/*.rs)}

command -v c++ > /dev/null || {
    echo "fuzz: c++ is missing: libFuzzer is built from source, install a C++ compiler, e.g. 'apt-get install g++'" >&2
    exit 1
}
# --target keeps the flags away from build scripts and macros.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build -q --locked --manifest-path tests/fuzz/Cargo.toml --target-dir "$out" --release --target "$host"

# The keys of a filter's schema are the words that its configurations consist of.
dictionary() {
    local record
    # The target is called after the filter's part of the pack.
    record=$(grep -l "part: \"${1%_config}\"" filters/*/src/record.rs) || return 1
    grep -ohE '"[][A-Za-z.{}_/-]{2,30}"' "${record%/src/record.rs}/schema.json" | sort -u > "$out/$1.dict"
}

fuzz() {
    local target=$1 corpus=$out/corpus/$1 findings=$out/findings/$1 log=$out/$1.log
    mkdir -p "$corpus" "$findings"
    local arguments=("-max_total_time=$seconds" -timeout=10 -print_final_stats=1 "-artifact_prefix=$findings/")
    if dictionary "$target"; then
        arguments+=("-dict=$out/$target.dict")
    fi
    arguments+=("$corpus")
    if [ -d "tests/fuzz/seeds/$target" ]; then
        arguments+=("tests/fuzz/seeds/$target")
    fi
    if ! "$out/$host/release/$target" "${arguments[@]}" > "$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "fuzz: $target has a finding; run it again with: $out/$host/release/$target <file in $findings>" >&2
        return 1
    fi
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf 'fuzz: %-16s %5s s %12s runs %5s MB\n' "$target" "$seconds" "$(stat number_of_executed_units)" "$(stat peak_rss_mb)"
}
export -f fuzz dictionary
export out host seconds
# One for each processor; all are heard of, also after a finding.
printf '%s\n' $targets | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'fuzz {}'
