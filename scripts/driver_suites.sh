#!/usr/bin/env bash
# Runs the test suites of drivers, from their source packages, against a private server: directly,
# through the gateway as a principal without masks, and as one with masks on a table that no test
# touches.
#
#   scripts/driver_suites.sh [asyncpg] [psycopg2] [pg8000] [sqlalchemy]
#   RUNS="direct plain" scripts/driver_suites.sh
#
# A test whose outcome differs from the direct run must be listed in
# tests/driver_suites/accepted.txt; with masks it may also have been refused something, with a reason
# in what it says (R1); how often each reason was given is printed. What the suites say is left in
# target/driver_suites/<suite>.<run>.log and .xml.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/suites.sh

suites=${*:-asyncpg psycopg2 pg8000 sqlalchemy}
place driver_suites 46432

asyncpg=0.32.0 psycopg2=2.9.13 pg8000=1.31.6 sqlalchemy=2.1.9 psycopg=3.3.9
python=$work/python/bin/python
pip_env "$work/python" pytest==9.2.0 pytest-timeout==2.4.0 pytest-benchmark==5.3.1 \
  pytest-mock==3.17.0 pytz==2026.6 distro==1.9.0 "asyncpg==$asyncpg" "psycopg2-binary==$psycopg2" \
  "pg8000==$pg8000" "sqlalchemy==$sqlalchemy" "psycopg[binary]==$psycopg"

fetch() { # SUITE: its source package, of the version that is installed
  local name=$1 version=${!1}
  source=$work/$name-$version
  [ ! -d "$source" ] || return 0
  say "fetching the source of $name $version"
  "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary "$name" -d "$work" \
    "$name==$version"
  tar -xzf "$source.tar.gz" -C "$work"
  case $name in
    # What is tested is the installed driver; its tests alone are wanted.
    asyncpg) rm -rf "$source/asyncpg" ;;
    pg8000) rm -rf "$source/src" ;;
    psycopg2) rm -rf "$source/lib" ;;
  esac
}

# run SUITE RUN PORT: writes SUITE.RUN.xml.
run() {
  local suite=$1 name=$2 to=$3
  export PGHOST=127.0.0.1 PGPORT=$to PGUSER=postgres
  local options=() tests=()
  case $suite in
    asyncpg) export PGDATABASE=postgres; tests=(tests) ;;
    psycopg2) export PSYCOPG2_TESTDB=postgres; tests=(tests) ;;
    # What is in auth/ needs a pg_hba.conf of its own and asks for no token.
    pg8000) tests=(test); options=(--ignore-glob='test/*/auth' --benchmark-disable) ;;
    sqlalchemy) # of psycopg 3, whose own tests are in no package that could be had
      "$programs/psql" -X -q -h 127.0.0.1 -p "$port" -d postgres -c "
        CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2;
        CREATE EXTENSION hstore; CREATE EXTENSION citext;"
      tests=(test/dialect/postgresql test/dialect/test_suite.py)
      options=(--dburi "postgresql+psycopg://postgres:$PGPASSWORD@127.0.0.1:$to/postgres") ;;
  esac
  (cd "$source" && "$python" -m pytest -p no:cacheprovider -q --timeout=120 --tb=short --maxfail=10000 \
    --junitxml="$work/$suite.$name.xml" "${options[@]}" "${tests[@]}") \
    >"$work/$suite.$name.log" 2>&1 || true
  [ -e "$work/$suite.$name.xml" ] ||
    { tail -20 "$work/$suite.$name.log" >&2; die "$suite does not run"; }
  python3 tests/driver_suites/compare.py count "$work/$suite.$name.xml"
}

unexpected=0
for suite in $suites; do
  rm -f "$work/$suite".*.xml
  fetch "$suite"
  in_each_run "$suite" postgres
  for name in plain masked; do
    [ -e "$work/$suite.$name.xml" ] || continue
    python3 tests/driver_suites/compare.py differ "$work/$suite.direct.xml" \
      "$work/$suite.$name.xml" "$accepted" || unexpected=$((unexpected + 1))
  done
done
[ "$unexpected" = 0 ] || die "tests differ without a reason; see $work"
say "every difference has its reason"
