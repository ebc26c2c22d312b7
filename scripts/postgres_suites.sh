#!/usr/bin/env bash
# Runs PostgreSQL's own test suites (regress, isolation, libpq_pipeline) against a private server:
# directly, through the gateway as a principal without masks, and as one with masks on a table that
# no test touches. Builds them from the source package of the installed server.
#
#   scripts/postgres_suites.sh [regress] [isolation] [libpq_pipeline]
#   RUNS="direct plain" scripts/postgres_suites.sh
#
# Without masks, what differs from the direct run must be listed in
# tests/postgres_suites/accepted.txt. With masks, every test that differs must have been refused
# something, for a documented reason (R1); how often each reason was given is printed. Differences
# are left in target/postgres_suites/<suite>.<run>.diff.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

suites=${*:-regress isolation libpq_pipeline}
runs=${RUNS:-direct plain masked}
work=$PWD/target/postgres_suites
accepted=$PWD/tests/postgres_suites/accepted.txt
narrows=${NARROWS_BIN:-$PWD/target/release/narrows}
mkdir -p "$work"

programs=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)
programs=${programs%/initdb}
version=$("$programs/postgres" --version | sed -n 's/.*(Debian \(.*\))/\1/p')
[ -n "$version" ] || die "the installed PostgreSQL is not Debian's: its source package is not known"
upstream_version=${version%%-*}
major=${version%%.*}

as_postgres() { # PostgreSQL does not run as root
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups env -C / "$@"
  else "$@"; fi
}

free_port() { # the first port from $1 on that nobody listens on
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  printf '%s' "$port"
}

# ---- the suites ----------------------------------------------------------------------------------

source=$work/postgresql-$upstream_version
fetch() {
  [ -d "$source" ] && return 0
  say "fetching the source of postgresql-$major $version"
  local apt=$work/apt suite
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  suite=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  printf 'deb-src http://deb.debian.org/%s main\n' "debian $suite" \
    "debian-security $suite-security" "debian $suite-updates" >"$apt/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt")
  apt-get "${options[@]}" update -qq
  (cd "$work" && apt-get "${options[@]}" source -qq --download-only "postgresql-$major=$version")
  tar -xjf "$work/postgresql-${major}_$upstream_version.orig.tar.bz2" -C "$work"
}

build() {
  [ -e "$source/built" ] && return 0
  say "building the suites"
  (cd "$source" && ./configure --quiet --without-readline --without-zlib)
  local folder
  for folder in src/test/regress src/test/isolation src/test/modules/libpq_pipeline contrib/spi; do
    make -s -C "$source/$folder" >"$work/build.log" 2>&1 ||
      { tail -20 "$work/build.log" >&2; die "$folder does not build"; }
  done
  touch "$source/built"
}

# ---- what runs -----------------------------------------------------------------------------------

stop_all() {
  [ -n "${gateway:-}" ] && kill "$gateway" 2>/dev/null && wait "$gateway" 2>/dev/null
  if [ -n "${database:-}" ]; then
    as_postgres "$programs/pg_ctl" -D "$database/data" -m immediate -w stop >/dev/null 2>&1
    rm -rf "$database"
  fi
  gateway='' database=''
}
trap 'stop_all || true' EXIT

start_database() {
  database=$(mktemp -d /var/tmp/narrows-suites.XXXXXX)
  [ "$(id -u)" != 0 ] || chown postgres: "$database"
  as_postgres "$programs/initdb" -D "$database/data" -U postgres -N -E UTF8 --locale=C --auth=trust \
    >"$work/initdb.log"
  as_postgres tee -a "$database/data/postgresql.conf" >/dev/null <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
max_prepared_transactions = 2
log_line_prefix = '%m [%p] '
CONF
  as_postgres "$programs/pg_ctl" -D "$database/data" -l "$database/log" -w -t 60 start >/dev/null
  local psql=("$programs/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres)
  local name
  for name in regression isolation_regression; do
    "${psql[@]}" -d postgres -c "CREATE DATABASE $name TEMPLATE template0"
    # What pg_regress does for a database that it makes itself.
    "${psql[@]}" -d "$name" -c "
      ALTER DATABASE $name SET lc_messages TO 'C';
      ALTER DATABASE $name SET lc_monetary TO 'C';
      ALTER DATABASE $name SET lc_numeric TO 'C';
      ALTER DATABASE $name SET lc_time TO 'C';
      ALTER DATABASE $name SET bytea_output TO 'hex';
      ALTER DATABASE $name SET timezone_abbreviations TO 'Default';
      CREATE SCHEMA unrelated;
      CREATE TABLE unrelated.vault (id int, ssn text);"
  done
}

start_gateway() {
  home=$work/gateway
  rm -rf "$home" && mkdir -p "$home"
  cat >"$home/narrows.yaml" <<YAML
data_dir: $home/state
listen:
  admin:    127.0.0.1:$admin_port
  postgres: 127.0.0.1:$gateway_port
resources:
$(for name in regression isolation_regression; do cat <<RESOURCE
  $name:
    type: postgres
    address: "127.0.0.1:$port"
    database: $name
    user: postgres
    tls: off
    isolation: shared
    server_files: allow
RESOURCE
done)
access:
  - { groups: [plain, masked], resources: [regression, isolation_regression] }
rules:
  - name: masks
    for: { groups: [masked] }
    mask: { fields: [unrelated.vault.ssn], with: redact }
  - name: never
    when: sql.tables.exists(t, t == "unrelated.vault")
    block: "nobody reads this"
  - name: seen
    when: sql.verb == "vacuum"
    alert: "a vacuum"
YAML
  "$narrows" serve -c "$home/narrows.yaml" >"$work/gateway.log" 2>&1 &
  gateway=$!
  for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$admin_port/readyz" >/dev/null && return 0
    sleep 0.1
  done
  tail -20 "$work/gateway.log" >&2
  die "the gateway does not start"
}

token() { # of a new agent in group $1
  "$narrows" token create -c "$home/narrows.yaml" "agent-$1" --group "$1" --ttl 24h --json |
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p'
}

# ---- one run -------------------------------------------------------------------------------------

# run SUITE RUN PORT: writes "ok NAME" and "FAILED NAME" lines to SUITE.RUN.results.
run() {
  local suite=$1 name=$2 to=$3 out=$work/$1.$2
  rm -rf "$out" && mkdir -p "$out"
  case $suite in
    regress)
      mkdir -p "$out/results" "$out/testtablespace"
      chmod -R a+rwX "$out"
      (cd "$source/src/test/regress" && ./pg_regress --use-existing --host=127.0.0.1 --port="$to" \
        --user=postgres --dbname=regression --bindir="$programs" --dlpath="$shared" \
        --inputdir=. --outputdir="$out" --max-concurrent-tests=24 --schedule=parallel_schedule) \
        >"$out/log" 2>&1 || true ;;
    isolation)
      (cd "$source/src/test/isolation" && ./pg_isolation_regress --use-existing --host=127.0.0.1 \
        --port="$to" --user=postgres --dbname=isolation_regression --bindir="$programs" \
        --inputdir=. --outputdir="$out" --schedule=isolation_schedule) >"$out/log" 2>&1 || true ;;
    libpq_pipeline)
      local test
      for test in $("$source/src/test/modules/libpq_pipeline/libpq_pipeline" tests); do
        if timeout 120 "$source/src/test/modules/libpq_pipeline/libpq_pipeline" "$test" \
          "host=127.0.0.1 port=$to dbname=regression user=postgres" >"$out/$test" 2>&1
        then echo "$test ... ok"; else echo "$test ... FAILED"; fi
      done >"$out/log" ;;
  esac
  sed -nE 's/^(test|    )? *([a-zA-Z0-9_.-]+) +\.\.\. (ok|FAILED).*/\3 \2/p' "$out/log" | sort -k2 \
    >"$work/$suite.$name.results"
  [ ! -e "$out/regression.diffs" ] || cp "$out/regression.diffs" "$work/$suite.$name.diff"
  printf '  %-16s %-10s %s ok, %s failed\n' "$suite" "$name" \
    "$(grep -c '^ok' "$work/$suite.$name.results" || true)" \
    "$(grep -c '^FAILED' "$work/$suite.$name.results" || true)"
}

differing() { # SUITE RUN: tests that fail here and not directly
  comm -13 <(sort "$work/$1.direct.results") <(sort "$work/$1.$2.results") | sed -n 's/^FAILED //p'
}

fetch
build
shared=$(mktemp -d /var/tmp/narrows-suites-lib.XXXXXX)
cp "$source"/src/test/regress/regress.so "$source"/contrib/spi/*.so "$shared/"
chmod -R a+rX "$shared"

export PGSSLMODE=disable # as to the server itself
port=$(free_port 56432) gateway_port=$(free_port 57432) admin_port=$(free_port 57070)
unexpected=0
for suite in $suites; do
  rm -f "$work/$suite".*.results "$work/$suite".*.diff
  for name in $runs; do
    start_database
    if [ "$name" = direct ]; then
      run "$suite" direct "$port"
    else
      start_gateway
      secret=$(token "$name")
      [ -n "$secret" ] || die "no token was made"
      PGPASSWORD=$secret run "$suite" "$name" "$gateway_port"
    fi
    stop_all
  done
  if [ -e "$work/$suite.plain.results" ]; then
    while read -r test; do
      grep -qE "^$suite +plain +$test( |$)" "$accepted" && continue
      echo "  not accepted: $suite plain $test"
      unexpected=$((unexpected + 1))
    done < <(differing "$suite" plain)
  fi
  if [ -e "$work/$suite.masked.results" ]; then
    while read -r test; do
      output=$work/$suite.masked/results/$test.out
      [ -e "$output" ] || output=$work/$suite.masked/$test
      grep -qE 'narrows: [a-z_]+|text withheld|refused' "$output" && continue
      echo "  not explained: $suite masked $test"
      unexpected=$((unexpected + 1))
    done < <(differing "$suite" masked)
    printf '  %-16s %-10s refused: ' "$suite" masked
    outputs=$work/$suite.masked
    [ ! -d "$outputs/results" ] || outputs=$outputs/results
    cat "$outputs"/* 2>/dev/null | grep -oE 'narrows: [a-z_]+' | sort | uniq -c | sort -rn |
      awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $3, $1 } END { print "" }'
  fi
done
rm -rf "$shared"
[ "$unexpected" = 0 ] || die "$unexpected tests differ without a reason; see $work"
say "every difference has its reason"
