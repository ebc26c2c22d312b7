#!/usr/bin/env bash
# Runs fuzz targets, each for so many seconds (60 unless told), and ends at the first finding.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]    every target, or these
#   scripts/fuzz.sh again TARGET FILE      one input once more, with a backtrace
#   scripts/fuzz.sh again differ SEED      one generated case once more, and what each side received
#
# The target `differ` is another kind of fuzzer: statements of a grammar against a real server, with
# and without the gateway (tests/e2e/src/differ). The other targets are decoders.
#
# Works with a nightly toolchain, and with the pinned stable one alone. FUZZ_TOOLCHAIN=stable takes
# the pinned one although there is a nightly.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'fuzz: %s\n' "$1" >&2; exit 1; }

usage="scripts/fuzz.sh [SECONDS] [TARGET…], or scripts/fuzz.sh again TARGET FILE"
case "${1:-}" in
  "" | again | [0-9]*) ;;
  *) die "$usage" ;;
esac

# As the tests build it: the gateway checks its own assertions.
differ() {
  cargo build --locked --quiet --workspace --bins || die "the gateway could not be built"
  NARROWS_BIN=${NARROWS_BIN:-$PWD/target/debug/narrows} target/debug/differ "$@"
}

if [ "${1:-}" = again ] && [ "${2:-}" = differ ]; then
  [ $# = 3 ] || die "$usage"
  differ again "$3"
  exit
fi

seconds_of_targets() { # Sets `seconds` and `targets`.
  seconds=${1:-60}
  [ $# = 0 ] || shift
  targets=("$@")
  if [ ${#targets[@]} = 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
    targets+=(differ)
  fi
}
if [ "${1:-}" != again ]; then
  seconds_of_targets "$@"
  if [ "${targets[*]}" = differ ]; then
    differ "$seconds"
    exit
  fi
fi

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --quiet ||
  die "cargo-fuzz could not be installed"

# Coverage counters and AddressSanitizer are unstable options of the compiler. A nightly one takes
# them; so does the pinned one when asked to act as one. The sanitizer's runtime is part of either.
toolchain=()
if [ "${FUZZ_TOOLCHAIN:-}" != stable ] && rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
  toolchain=(+nightly)
else
  export RUSTC_BOOTSTRAP=1
fi
# libpg_query measures its stack by the addresses of variables, which the sanitizer would otherwise
# put elsewhere: every statement of some length would be "nested too deeply".
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_stack_use_after_return=0"
fuzz() { # COMMAND TARGET OPTION…
  local command=$1; shift
  # --dev: with debug assertions and checks for overflow; fuzz/Cargo.toml optimises it all the same.
  cargo "${toolchain[@]}" fuzz "$command" --dev "$@"
}

if [ "${1:-}" = again ]; then
  [ $# = 3 ] || die "$usage"
  RUST_BACKTRACE=1 fuzz run "$2" "$3"
  exit
fi

for target in "${targets[@]}"; do
  if [ "$target" = differ ]; then
    # The compiler's settings above are for the decoders.
    (unset RUSTC_BOOTSTRAP; differ "$seconds") || exit 1
    continue
  fi
  [ -f "fuzz/fuzz_targets/$target.rs" ] || die "there is no target $target in fuzz/fuzz_targets"
  seeds=fuzz/seeds/$target corpus=fuzz/corpus/$target found=fuzz/artifacts/$target
  [ -d "$seeds" ] || die "$seeds is missing: a target begins with seeds"
  mkdir -p "$corpus" "$found"
  printf 'fuzz: %s for %s s\n' "$target" "$seconds"
  # What is new goes into the first folder, which git does not know; the seeds are only read.
  # -detect_leaks=0: libpg_query and the caches of the process keep what they keep; the bound on
  # memory finds what grows.
  if ! fuzz run "$target" "$corpus" "$seeds" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 \
    -max_len=8192 -detect_leaks=0 -artifact_prefix="$found/" -print_final_stats=1; then
    newest=$(find "$found" -type f -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
    [ -n "$newest" ] || die "$target ended without an input; see above"
    printf 'fuzz: %s found something. The input is kept in %s\n' "$target" "$newest"
    printf '      again:    scripts/fuzz.sh again %s %s\n' "$target" "$newest"
    printf '      smaller:  cargo %s fuzz tmin --dev %s %s\n' "${toolchain[*]}" "$target" "$newest"
    printf '      mended:   cp %s %s/NAME, so that every test run tries it\n' "$newest" "$seeds"
    exit 1
  fi
done
printf 'fuzz: %s targets ran for %s s each and found nothing\n' "${#targets[@]}" "$seconds"
