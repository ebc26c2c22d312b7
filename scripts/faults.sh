#!/usr/bin/env bash
# Makes faults of a real machine and checks what becomes of a real gateway; see scripts/faults.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

apt_need python3 python3
apt_need cc gcc libc6-dev
apt_need "/usr/lib/postgresql/*/bin/postgres" postgresql postgresql-contrib
apt_install
exec python3 scripts/faults "$@"
