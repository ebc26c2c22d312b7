#!/bin/sh
# Runs every fuzz target for so many seconds (60 unless told). Ends at the first finding.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
# Coverage and sanitizers need an unstable compiler; the pinned one acts as one when asked to.
toolchain=
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    toolchain=+nightly
else
    export RUSTC_BOOTSTRAP=1
fi

targets=$*
[ -n "$targets" ] || targets=$(ls fuzz/fuzz_targets | sed 's/\.rs$//')
for target in $targets; do
    echo "fuzz: $target for $seconds s"
    # shellcheck disable=SC2086
    cargo $toolchain fuzz run --dev "$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=0
done
echo "fuzz: every target ran for $seconds s and found nothing"
