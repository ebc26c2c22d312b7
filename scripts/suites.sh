# What runs other people's test suites directly and through the gateway: a private server, a gateway
# before it, and tokens. Sourced by ./postgres_suites.sh and ./driver_suites.sh, which set `suites`.
# shellcheck shell=bash

runs=${RUNS:-direct plain masked}
narrows=${NARROWS_BIN:-$PWD/target/release/narrows}
programs=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -1)
programs=${programs%/initdb}

# place NAME PORT: where the suites of this script leave what they say, and its first port, below those
# that the kernel gives to connections.
place() {
  work=$PWD/target/$1
  accepted=$PWD/tests/$1/accepted.txt
  mkdir -p "$work"
  first_port=$2
  export PGSSLMODE=disable # as to the server itself
}

as_postgres() { # PostgreSQL does not run as root
  if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups env -C / "$@"
  else "$@"; fi
}

free_port() { # the first port from $1 on that nobody listens on
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  printf '%s' "$port"
}

# debian_source PACKAGE=VERSION "ARCHIVE RELEASE"...: downloads the authors' archive of a package.
debian_source() {
  local package=$1 apt=$work/apt; shift
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  printf 'deb-src http://deb.debian.org/%s main\n' "$@" >"$apt/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt")
  apt-get "${options[@]}" update -qq
  (cd "$work" && apt-get "${options[@]}" source -qq --download-only --tar-only "$package")
}

stop_all() {
  [ -n "${gateway:-}" ] && kill "$gateway" 2>/dev/null && wait "$gateway" 2>/dev/null
  if [ -n "${database:-}" ]; then
    as_postgres "$programs/pg_ctl" -D "$database/data" -m immediate -w stop >/dev/null 2>&1
    rm -rf "$database"
  fi
  gateway='' database=''
}
trap 'stop_all || true' EXIT

start_database() { # with the databases $@
  port=$(free_port "$first_port")
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
  for name in "$@"; do
    [ "$name" = postgres ] ||
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

start_gateway() { # before the databases $@
  gateway_port=$(free_port $((first_port + 1000))) admin_port=$(free_port $((first_port + 1500)))
  home=$work/gateway
  rm -rf "$home" && mkdir -p "$home"
  local names=$*
  cat >"$home/narrows.yaml" <<YAML
data_dir: $home/state
listen:
  admin:    127.0.0.1:$admin_port
  postgres: 127.0.0.1:$gateway_port
resources:
$(for name in "$@"; do cat <<RESOURCE
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
  - { groups: [plain, masked], resources: [${names// /, }] }
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

# in_each_run SUITE DATABASE...: calls `run SUITE RUN PORT` for every run, with the password set.
in_each_run() {
  local suite=$1 name; shift
  for name in $runs; do
    start_database "$@"
    if [ "$name" = direct ]; then
      PGPASSWORD=unused run "$suite" direct "$port"
    else
      start_gateway "$@"
      secret=$(token "$name")
      [ -n "$secret" ] || die "no token was made"
      PGPASSWORD=$secret run "$suite" "$name" "$gateway_port"
    fi
    stop_all
  done
}
