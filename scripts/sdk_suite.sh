#!/usr/bin/env bash
# Runs the tests and examples of the OpenAI Agents SDK, from its source package, against a scripted
# provider (tests/sdk_suite/world.py): directly, through the gateway by the environment of
# `narrows env`, and by its proxy alone.
#
#   scripts/sdk_suite.sh [examples] [cases] [tests] [integration]
#   RUNS="direct proxy" ONLY=basic scripts/sdk_suite.sh examples
#   TESTS="mcp realtime" scripts/sdk_suite.sh tests
#   SDK_CHECKOUT=DIR scripts/sdk_suite.sh integration      (a clone of the SDK's repository)
#
# How the runs differ:
#   direct  in a network namespace where the provider's names are the scripted one
#   direct-base  the same with OPENAI_BASE_URL, because the SDK itself then asks for other things
#   base    narrows run: OPENAI_BASE_URL leads to the reverse face, all else to the egress proxy;
#           the gateway alone has the provider's key
#   proxy   narrows run without OPENAI_BASE_URL: everything goes through the egress proxy, and the
#           program has the key
#
# A program must end alike, say the same, and the world must receive the same from it; a test must
# have the same outcome. What differs has to be in tests/sdk_suite/accepted.txt with its reason. All
# system calls that reach for a network are traced: in `base` and `proxy` each must go to the
# gateway or to a listener that the program opened itself. The same check has to fail on `direct`.
#
# The source package has tests/ and examples/. It has no integration_tests/, which pyproject.toml
# leaves out of it on purpose, so those need a clone. What is left out of examples/, and why, is in
# tests/sdk_suite/skipped.txt. Everything said and received is left in target/sdk_suite.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/suites.sh

place sdk_suite 27432 # below the ports that the system gives to clients
parts=${*:-examples cases tests ${SDK_CHECKOUT:+integration}}
runs=${RUNS:-direct direct-base base proxy}
suite=$PWD/tests/sdk_suite
python=$work/python/bin/python
sdk=0.24.0 # what ./test installs

# The provider's key: who has another one gets 401.
export WORLD_KEY=sk-of-the-account

start_world() { # PORT: at its folder
  printf none >"$world/case"
  "$python" -B "$suite/world.py" "$world" "$1" "$world/host.pem" "$world/host.key" \
    >"$world/log" 2>&1 &
  world_process=$!
  for _ in $(seq 300); do
    [ ! -e "$world/port" ] || return 0
    kill -0 $world_process 2>/dev/null || break
    sleep 0.1
  done
  tail -20 "$world/log" >&2
  die "the scripted world does not start"
}

stop_world() {
  [ -n "${world_process:-}" ] && kill "$world_process" 2>/dev/null && wait "$world_process" 2>/dev/null
  world_process=''
}
trap 'stop_world || true; stop_all || true' EXIT

# What a direct run does once it is in its own network: see in_run.
if [ "${1:-}" = directly-inside ]; then
  world=$2 at=$3; shift 3
  ip link set lo up
  mount --bind "$world/hosts" /etc/hosts
  start_world 443
  (cd "$at" && "$@")
  exit 0
fi

apt_need strace strace
apt_need unshare util-linux
apt_need ip iproute2
apt_need node nodejs npm
apt_need openssl openssl
apt_install
pip_env "$work/python" openai==3.57.0 "openai-agents==$sdk" mcp==2.3.0 websockets==16.1.1 \
  httpx==0.28.1 uvicorn==0.54.0 pytest==9.2.0 pytest-asyncio==1.5.0 pytest-mock==3.17.0 \
  pytest-xdist==3.8.0 pytest-timeout==2.4.0 inline-snapshot==0.36.1 rich==14.3.4 fastapi==0.165.0 \
  aiosqlite==0.22.1 cryptography==50.0.2 fakeredis==2.41.0 aiohttp==3.14.5 pymongo==4.20.1 \
  twilio==9.13.0 sqlalchemy==2.1.9 asyncpg==0.32.0 numpy==2.4.6 graphviz==0.21 textual==8.2.8 \
  litellm==1.83.0
[ -x "$work/node/node_modules/.bin/mcp-server-filesystem" ] ||
  npm install --silent --no-audit --no-fund --prefix "$work/node" \
    @modelcontextprotocol/server-filesystem@2025.8.21

source=$work/openai_agents-$sdk
if [ ! -d "$source" ]; then
  say "fetching the source of openai-agents $sdk"
  "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary openai-agents \
    -d "$work" "openai-agents==$sdk"
  tar -xzf "$source.tar.gz" -C "$work"
  # What is tested is the installed package; its tests and examples alone are wanted.
  rm -rf "$source/src"
fi

# What the world is certified for.
hosts="api.openai.com mcp.deepwiki.com wttr.in raw.githubusercontent.com"
certify() {
  local names=DNS:localhost host
  for host in $hosts; do names=$names,DNS:$host; done
  (cd "$world" && exec 2>openssl.log &&
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
      -subj "/CN=scripted world" -keyout ca.key -out ca.pem &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=host \
      -keyout host.key -out host.csr &&
    openssl x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
      -extfile <(printf 'subjectAltName=%s' "$names") -out host.pem)
}

start_sdk_gateway() { # PORT RUN: before the world at PORT
  gateway_port=$(free_port "$first_port") admin_port=$(free_port $((first_port + 500)))
  egress_port=$(free_port $((first_port + 1000)))
  home=$world/gateway
  mkdir -p "$home"
  cat >"$home/narrows.yaml" <<YAML
data_dir: $home/state
listen:
  admin:  127.0.0.1:$admin_port
  http:   127.0.0.1:$gateway_port
  egress: 127.0.0.1:$egress_port
resources:
  openai:
    type: openai
    url: "https://localhost:$1"
    headers: { Authorization: {env: WORLD_AUTH} }
    ca: {file: $world/ca.pem}
    # What the provider keeps passes only where it is listed.
    paths: [/v1/conversations, /v1/files, /v1/vector_stores]
  internet:
    type: egress
    ca: {file: $world/ca.pem}
$(if [ "$2" = base ]; then
  printf '    credentials: { api.openai.com: { Authorization: {env: WORLD_AUTH} } }\n'
fi)
    hosts:
$(for host in $hosts; do printf '      %s: "127.0.0.1:%s"\n' "$host" "$1"; done)
access:
  - { groups: [agents], resources: [openai, internet] }
rules:
  # So that every body is looked into, on the way there and on the way back.
  - name: masks
    mask: { fields: [credit_card, ssn], with: redact }
  - name: forms
    mask: { types: [CREDIT_CARD, US_SSN], with: redact }
  - name: nothing-secret-leaves
    on: [internet]
    when: http.detections.exists(d, d in ["CREDIT_CARD", "US_SSN", "AWS_KEY", "PRIVATE_KEY"])
    block: "the request carries {http.detections}"
YAML
  WORLD_AUTH="Bearer $WORLD_KEY" "$narrows" serve -c "$home/narrows.yaml" >"$world/gateway.log" 2>&1 &
  gateway=$!
  for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$admin_port/readyz" >/dev/null && return 0
    sleep 0.1
  done
  tail -20 "$world/gateway.log" >&2
  die "the gateway does not start"
}

# in_run RUN COMMAND...: with no more in its environment than the suite's programs need.
in_run() {
  local name=$1; shift
  local environment=(env -i PATH="$suite/bin:$work/python/bin:$work/node/node_modules/.bin:$PATH" HOME="$world/home" LANG=C.UTF-8
    TERM=dumb PYTHONPATH="$sources:$suite:$suite/site" PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
    WORLD_KEY="$WORLD_KEY"
    OPENAI_AGENTS_TEST_USE_PROXY=1 EXAMPLES_INTERACTIVE_MODE=auto APPLY_PATCH_AUTO_APPROVE=1
    AUTO_APPROVE_MCP=1)
  local inside=("$narrows" run -c "$world/gateway/narrows.yaml" --token "${token:-}" --)
  case $name in
    direct | direct-base)
      [ "$name" = direct ] || environment+=(OPENAI_BASE_URL=https://localhost/v1)
      local bundle=$world/bundle.pem user=()
      { echo "127.0.0.1 localhost"; echo "127.0.0.1 $hosts"; } >"$world/hosts"
      cat "$world/ca.pem" /etc/ssl/certs/ca-certificates.crt >"$bundle"
      [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
      "${environment[@]}" OPENAI_API_KEY=$WORLD_KEY SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle" \
        unshare "${user[@]}" --net --mount -- "$here/scripts/sdk_suite.sh" directly-inside "$world" "$PWD" "$@" ;;
    base) "${environment[@]}" "${inside[@]}" "$@" ;;
    proxy) "${environment[@]}" "${inside[@]}" env -u OPENAI_BASE_URL OPENAI_API_KEY=$WORLD_KEY "$@" ;;
    *) die "RUNS: there is no run named $name" ;;
  esac
}

# The programs of a part, and how a run of it goes.
programs_of() {
  case $1 in
    cases) (cd "$suite" && printf '%s\n' cases/*.py) ;;
    examples) python3 "$suite/compare.py" examples "$source" "$suite/skipped.txt" ;;
  esac | grep -E "${ONLY:-.}"
}

pytest_of() { # PART OUT: words
  local words=(-m pytest -p no:cacheprovider -p sockets -q --timeout=120 --tb=short
    --junitxml="$2/report.xml")
  case $1 in
    tests) for folder in ${TESTS:-mcp realtime models tracing voice fastapi}; do words+=("tests/$folder"); done ;;
    integration) words+=(-c integration_tests/pytest.ini --rootdir integration_tests
      integration_tests/openai integration_tests/realtime) ;;
  esac
  printf '%s\n' "${words[@]}"
}

# run_part PART RUN: leaves PART.RUN/ with all that was said and received.
run_part() {
  local part=$1 name=$2
  out=$work/$part.$name
  world=$out/world
  rm -rf "$out" && mkdir -p "$world/home" "$out/said"
  sources=$out/source
  mkdir "$sources"
  certify
  if [[ $name != direct* ]]; then
    start_world 0
    start_sdk_gateway "$(cat "$world/port")" "$name"
    token=$(token agents)
    [ -n "$token" ] || die "no token was made"
  fi
  case $part in
    examples | cases)
      # A copy, because examples leave files behind.
      cp -r "$source/examples" "$source/README.md" "$sources"
      cp -r "$suite/cases" "$sources"
      # The servers that they start get more time than three seconds on a busy machine.
      sed -i 's/time\.sleep(3)/time.sleep(12)/' "$sources"/examples/mcp/*/main.py
      mapfile -t programs < <(programs_of "$part")
      (cd "$sources" && in_run "$name" "$python" -B "$suite/run.py" "$world" "$out/said" "${programs[@]}") \
        >"$out/log" 2>&1 || { tail -20 "$out/log" >&2; die "$part: $name did not run"; } ;;
    tests | integration)
      [ "$part" = tests ] && cp -r "$source/." "$sources" || cp -r "$SDK_CHECKOUT/integration_tests" "$sources"
      mapfile -t words < <(pytest_of "$part" "$out")
      (cd "$sources" && in_run "$name" strace -f -qq --seccomp-bpf -s 8 \
        -e trace=socket,connect,bind,getsockname,sendto,sendmsg,sendmmsg -o "$out/said/$part.trace" -- \
        "$python" -B "${words[@]}") >"$out/log" 2>&1 || true
      [ -e "$out/report.xml" ] || { tail -20 "$out/log" >&2; die "$part: $name did not run"; } ;;
  esac
  local ways=()
  if [[ $name != direct* ]]; then ways=("127.0.0.1:$gateway_port" "127.0.0.1:$egress_port"); fi
  printf '%s\n' "${ways[@]}" >"$out/ways"
  python3 "$suite/compare.py" count "$out"
  rm -rf "$sources"
  stop_world || true
  stop_all || true
}

here=$PWD
unexpected=0
for part in $parts; do
  for name in $runs; do
    say "$part: $name"
    run_part "$part" "$name"
  done
  for name in $runs; do
    case $name in
      direct*)
        # That what goes past the gateway is seen: here nothing goes through it. The SDK's tests
        # talk to themselves alone, so that there is nothing to see.
        ! python3 "$suite/compare.py" around "$work/$part.$name" >"$work/$part.$name/around" ||
          [ "$part" = tests ] ||
          die "the trace of a direct run shows nothing that goes past the gateway"
        continue ;;
      base) like=direct-base ;;
      proxy) like=direct ;;
    esac
    python3 "$suite/compare.py" around "$work/$part.$name" || unexpected=$((unexpected + 1))
    python3 "$suite/compare.py" differ "$work/$part.$like" "$work/$part.$name" "$accepted" ||
      unexpected=$((unexpected + 1))
  done
done
[ "$unexpected" = 0 ] || die "something differs without a reason, or went past the gateway; see $work"
[[ " $runs " != *" base "* && " $runs " != *" proxy "* ]] ||
  say "every difference has its reason, and nothing went past the gateway"
