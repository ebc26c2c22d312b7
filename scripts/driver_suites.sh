#!/usr/bin/env bash
# Runs the test suites of drivers, from their source packages, against a private server: directly,
# through the gateway as a principal without masks, and as one with masks on a table that no test
# touches.
#
#   scripts/driver_suites.sh [asyncpg] [psycopg2] [pg8000] [sqlalchemy] [dbdpg] [node] [pq] [pgx]
#   RUNS="direct plain" scripts/driver_suites.sh        (a direct run is kept for the next time)
#
# A test whose outcome differs from the direct run must be listed in
# tests/driver_suites/accepted.txt; with masks it may also have been refused something, with a reason
# in what it says (R1); how often each reason was given is printed. What the suites say is left in
# target/driver_suites/<suite>.<run>.log and .xml, .tap, .node or .go.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/suites.sh

suites=${*:-asyncpg psycopg2 pg8000 sqlalchemy dbdpg node pq pgx}
place driver_suites 21432

asyncpg=0.32.0 psycopg2=2.9.13 pg8000=1.31.6 sqlalchemy=2.1.9 psycopg=3.3.9
dbdpg=3.18.0-1 # tests of Debian 13's source package, which run with the driver of Debian 12 too
# node-postgres with its pool and its cursors: 101 npm packages, 40 MB. lib/pq and pgx 4 are those of this
# Debian, whose packages bring their tests (with Go 1.19: 500 MB).
node=8.16.3 pool=3.10.1 cursor=2.15.3
node_sha256=03803c9ccfca47b63bf57bf3f166002ee64652a7e26c2d91fb94da19d769381e
python=$work/python/bin/python
pip_env "$work/python" pytest==9.2.0 pytest-timeout==2.4.0 pytest-benchmark==5.3.1 \
  pytest-mock==3.17.0 pytz==2026.6 distro==1.9.0 "asyncpg==$asyncpg" "psycopg2-binary==$psycopg2" \
  "pg8000==$pg8000" "sqlalchemy==$sqlalchemy" "psycopg[binary]==$psycopg"

fetch() { # SUITE: its source package, of the version that is installed
  local name=$1 version=${!1:-}
  source=$work/$name-$version
  case $name in
    dbdpg) source=$work/DBD-Pg-${version%-*} ;;
    pq | pgx)
      source=/usr/share/gocode/src/github.com
      apt_need go golang-go
      apt_need "$source/lib/pq/conn_test.go" golang-github-lib-pq-dev
      apt_need "$source/jackc/pgx/v4/conn_test.go" golang-github-jackc-pgx-v4-dev
      apt_need "$source/Masterminds/semver/version.go" golang-github-masterminds-semver-dev
      apt_install
      return 0 ;;
  esac
  [ ! -d "$source" ] || return 0
  say "fetching the source of $name $version"
  if [ "$name" = dbdpg ]; then
    apt_need /usr/lib/*/perl5/*/DBD/Pg.pm libdbd-pg-perl && apt_install
    debian_source "libdbd-pg-perl=$version" "debian trixie"
    tar -xzf "$work/libdbd-pg-perl_${version%-*}.orig.tar.gz" -C "$work"
    # Large objects are function calls, which are refused (R20), and the test stops there.
    sed -i '/^# Test of the "pg_lo_/,/^# Test of the "pg_notifies"/d' "$source/t/03dbmethod.t"
    return 0
  fi
  if [ "$name" = node ]; then
    node_packages
    return 0
  fi
  "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary "$name" -d "$work" \
    "$name==$version"
  tar -xzf "$source.tar.gz" -C "$work"
  case $name in
    # What is tested is the installed driver; its tests alone are wanted.
    asyncpg) rm -rf "$source/asyncpg" ;;
    pg8000) rm -rf "$source/src" ;;
    psycopg2) rm -rf "$source/lib" ;;
    # Extensions are made for it: with masks that is refused, even when there is nothing to make.
    sqlalchemy)
      sed -i 's/CREATE EXTENSION IF NOT EXISTS {extension}/SELECT 1/' \
        "$source/lib/sqlalchemy/dialects/postgresql/provision.py" ;;
  esac
}

node_packages() { # the published packages, each with the tests of its source beside it
  apt_need node nodejs npm && apt_install
  # By itself: Debian's archive lacks others of this source package.
  local archive=$work/node-postgres.tar.gz packages=$work/node-postgres-pg-$node/packages package
  curl -sfo "$archive" \
    "http://deb.debian.org/debian/pool/main/n/node-postgres/node-postgres_$node+~cs35.24.27.orig.tar.gz" &&
    sha256sum -c --quiet <<<"$node_sha256  $archive" || die "the source of node-postgres could not be had"
  tar -xzf "$archive" -C "$work"
  rm -rf "$source.new" && mkdir "$source.new"
  (cd "$source.new" && npm install --silent --no-audit --no-fund --no-save "pg@$node" "pg-pool@$pool" \
    "pg-cursor@$cursor" async@2.6.4 bluebird@3.7.2 co@4.6.0 pg-copy-streams@0.3.0 mocha@10.5.2 \
    expect.js@0.3.1 lodash@4.17.21) || die "the packages of node-postgres could not be installed"
  for package in pg pg-pool pg-cursor; do
    cp -r "$packages/$package/test" "$source.new/node_modules/$package/test"
  done
  cp -r "$packages/pg/script" "$source.new/node_modules/pg/script"
  mv "$source.new" "$source"
}

node_tests() { # INTO: what each file of tests says, and how it ends
  rm -rf "$1" && mkdir "$1"
  local test name
  cd "$source/node_modules/pg"
  { node script/create-test-tables.js postgres:// && echo "exit 0"; } >"$1/create-test-tables" 2>&1 || true
  for test in $(find test/integration -name '*-tests.js' | sort) ../pg-pool/test/*.js ../pg-cursor/test/*.js; do
    name=${test#../} name=${name#test/integration/}
    case $test in
      */setup.js) continue ;;
      ../*) set -- "$1" ../mocha/bin/mocha.js --exit --reporter tap "$test" ;;
      *) set -- "$1" "$test" postgres:// ;;
    esac
    { timeout 60 node "${@:2}" && echo "exit 0" || echo "exit $?"; } >"$1/${name//\//.}" 2>&1
  done
  cd - >/dev/null
}

go_tests() { # INTO PACKAGE...: the events of `go test`
  local into=$1 package; shift
  : >"$into"
  for package in "$@"; do
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$work/go GOFLAGS=-buildvcs=false \
      go test -json -vet=off -count=1 -timeout=300s "github.com/$package" >>"$into" 2>&1 || true
  done
}

perl_tests() { # INTO: what each of them says
  rm -rf "$1" && mkdir "$1"
  local test
  for test in "$source"/t/0[1-9]*.t "$source"/t/[1-3]*.t; do
    (cd "$source" && timeout 120 perl -I t "$test") >"$1/${test##*/}" 2>&1 || true
  done
}

# run SUITE RUN PORT: writes SUITE.RUN.xml or SUITE.RUN.tap/.
run() {
  local suite=$1 name=$2 to=$3
  if [ "$suite" = dbdpg ]; then
    rm -f "$source/README.testdatabase" # which server to take, from the run before
    DBI_DSN="dbi:Pg:dbname=postgres;host=127.0.0.1;port=$to" DBI_USER=postgres \
      DBI_PASS=$PGPASSWORD perl_tests "$work/$suite.$name.tap"
    python3 tests/driver_suites/compare.py count "$work/$suite.$name.tap"
    return 0
  fi
  export PGHOST=127.0.0.1 PGPORT=$to PGUSER=postgres
  local url="host=127.0.0.1 port=$to user=postgres password=$PGPASSWORD dbname=postgres sslmode=disable"
  local report=''
  case $suite in
    node)
      report=$work/node.$name.node
      PGDATABASE=postgres PGTESTNOSSL=true node_tests "$report" ;;
    pq)
      report=$work/pq.$name.go
      PGDATABASE=postgres go_tests "$report" lib/pq lib/pq/hstore ;;
    pgx) # as its authors prepare a database for it
      "$programs/psql" -X -q -h 127.0.0.1 -p "$port" -d postgres -c "
        CREATE EXTENSION hstore; CREATE DOMAIN uint64 AS numeric(20,0);"
      report=$work/pgx.$name.go
      PGX_TEST_DATABASE=$url \
        go_tests "$report" jackc/pgx/v4 jackc/pgx/v4/pgxpool jackc/pgx/v4/stdlib ;;
  esac
  if [ -n "$report" ]; then
    python3 tests/driver_suites/compare.py count "$report"
    return 0
  fi
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
  (cd "$source" && "$python" -m pytest -p no:cacheprovider -q --timeout=120 --tb=native --maxfail=10000 \
    --junitxml="$work/$suite.$name.xml" "${options[@]}" "${tests[@]}") \
    >"$work/$suite.$name.log" 2>&1 || true
  [ -e "$work/$suite.$name.xml" ] ||
    { tail -20 "$work/$suite.$name.log" >&2; die "$suite does not run"; }
  python3 tests/driver_suites/compare.py count "$work/$suite.$name.xml"
}

unexpected=0
for suite in $suites; do
  for name in $runs; do rm -rf "$work/$suite.$name".{xml,tap,node,go}; done
  fetch "$suite"
  in_each_run "$suite" postgres
  for name in plain masked; do
    report=$(compgen -G "$work/$suite.$name.[xtng][mao]*") || continue
    python3 tests/driver_suites/compare.py differ "$work/$suite.direct.${report##*.}" \
      "$report" "$accepted" || unexpected=$((unexpected + 1))
  done
done
[ "$unexpected" = 0 ] || die "tests differ without a reason; see $work"
say "every difference has its reason"
