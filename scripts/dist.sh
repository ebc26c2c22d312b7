#!/usr/bin/env bash
# Builds the program as it is shipped, in target/dist: the same bytes from the same sources, with the
# same toolchain and C compiler, wherever the sources and cargo's folder are.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

need_toolchain
home=${CARGO_HOME:-$HOME/.cargo}
# Folders of this machine are in no message and no line table.
export RUSTFLAGS="--remap-path-prefix=$PWD=narrows --remap-path-prefix=$home=cargo"
export CFLAGS="-ffile-prefix-map=$PWD=narrows -ffile-prefix-map=$home=cargo"
export CXXFLAGS=$CFLAGS
# When these sources were committed, for whatever asks what time it is.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC

cargo build --locked --profile dist -p narrows
sha256sum target/dist/narrows
