#!/bin/sh
# Builds the fuzz targets once and runs each of them for SECONDS (60 if left out), or all of them for SECONDS in all; fails
# if one of them crashed. Prints for each what it executed, the edges of the code that it reached, and how many inputs it keeps.
#
#     fuzz/run.sh [--together] [SECONDS] [TARGET...]
set -u
cd "$(dirname "$0")/.." || exit 1
export RUST_BACKTRACE="${RUST_BACKTRACE:-0}"
together=
[ "${1:-}" = --together ] && together=1 && shift
seconds="${1:-60}"
[ $# -gt 0 ] && shift
case "$seconds" in
'' | *[!0-9]*) echo "usage: fuzz/run.sh [--together] [SECONDS] [TARGET...]" >&2 && exit 2 ;;
esac

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is not here; installing it"
    cargo install cargo-fuzz --locked --quiet || exit 1
fi
# Sanitizers are unstable compiler flags: nightly takes them, and so does stable when told to.
if cargo +nightly --version >/dev/null 2>&1; then
    toolchain=+nightly
else
    toolchain=
    export RUSTC_BOOTSTRAP=1
fi
logs="$(mktemp -d)" || exit 1
trap 'rm -rf "$logs"' EXIT
# shellcheck disable=SC2086 # no toolchain is no argument
cargo $toolchain fuzz build >"$logs/build" 2>&1 || { cat "$logs/build" && exit 1; }

# shellcheck disable=SC2046 # one target is one word
[ $# -eq 0 ] && set -- $(cargo fuzz list)
if [ -n "$together" ]; then
    seconds=$((seconds / $#))
    [ "$seconds" -gt 0 ] || seconds=1
fi
failed=0
printf '%-12s %12s %11s %8s %8s  %s\n' target executions 'per second' edges corpus verdict
for target in "$@"; do
    # New inputs go into the first folder, so the seeds stay as they are committed.
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    # shellcheck disable=SC2086
    if cargo $toolchain fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -print_final_stats=1 >"$logs/$target" 2>&1; then
        verdict=ok
    else
        verdict=FAILED
        failed=1
    fi
    stat() { sed -n "s/^stat::$1: *//p" "$logs/$target" | tail -n 1; }
    last() { sed -n "s/^#.* $1: \([0-9]*\).*/\1/p" "$logs/$target" | tail -n 1; }
    printf '%-12s %12s %11s %8s %8s  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(last cov)" "$(last corp)" "$verdict"
    [ "$verdict" = ok ] || grep -v '^ *#\{0,1\}[0-9]*: \|^ *#[0-9]* \|^ *at ' "$logs/$target" | tail -n 40
done
exit "$failed"
