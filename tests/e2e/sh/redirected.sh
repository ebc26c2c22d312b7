# A gateway whose namespace is the only way out of another one, and clients in there that know of no
# proxy. Runs in user, network and mount namespaces of its own: MODE (redirect or tproxy), DIR,
# NARROWS, PYTHON and STORIES are set. Says `ok …` after each step.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
cd "$DIR"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
fail() { echo "failed: $*"; exit 1; }
soon() { # COMMAND...: until it succeeds
  for _ in $(seq 600); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.05; done
  fail "in vain: $*"
}

# Two networks that meet in one cable.
ip link set lo up
unshare --net sleep infinity & client=$!
apart() { [ "$(readlink /proc/$client/ns/net)" != "$(readlink /proc/self/ns/net)" ]; }
soon apart
inside() { nsenter --net=/proc/$client/ns/net env -i PATH="$PATH" LANG=C.UTF-8 "$@"; }
ip link add agents0 type veth peer name out0 netns $client
ip addr add 10.77.0.1/24 dev agents0
ip addr add fd77::1/64 dev agents0 nodad
ip link set agents0 up
inside ip link set lo up
for address in 10.77.0.2/24 10.77.0.3/24; do inside ip addr add $address dev out0; done
inside ip addr add fd77::2/64 dev out0 nodad
inside ip link set out0 up
inside ip route add default via 10.77.0.1
inside ip route add default via fd77::1
mount --bind hosts /etc/hosts
nft -f "$MODE.nft"
if [ "$MODE" = tproxy ]; then . ./tproxy.sh; fi

"$PYTHON" -B "$STORIES/redirected_origin.py" &
: > agent.token
"$NARROWS" serve -c narrows.yaml 2> gateway.log &
gateway=$!
soon curl -sf http://127.0.0.1:7070/readyz
"$NARROWS" token create redirected --group agents -c narrows.yaml --json |
  "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["token"])' > agent.token
"$NARROWS" ca -c narrows.yaml > gateway-ca.pem
soon curl -sf --cacert ca.pem --resolve listed.test:9443:127.0.0.1 https://listed.test:9443/up

ask() { inside curl -sS --max-time 40 --cacert "$DIR/gateway-ca.pem" "$@"; }
pinned() { inside curl -sS --max-time 40 --cacert "$DIR/ca.pem" "$@"; }
is() { # WANTED COMMAND...
  local wanted=$1 said; shift
  said=$("$@" 2>&1) || fail "$* ended with $?: $said"
  [ "$said" = "$wanted" ] || fail "$*: $said"
}
status() { ask -o /dev/null -w '%{http_code}' "$@"; }
refuses() { # CODES COMMAND...: what curl ends with
  local codes=$1 code=0; shift
  "$@" >/dev/null 2>&1 || code=$?
  [[ " $codes " = *" $code "* ]] || fail "$* ended with $code"
}

is "GET /a?b listed.test 0" ask 'https://listed.test/a?b'
echo "ok TLS"
is "GET /six listed.test 0" ask --resolve 'listed.test:443:[2001:db8::7]' https://listed.test/six
echo "ok TLS over IPv6"
is "GET /x clear.test 0" ask http://clear.test/x
echo "ok clear"
inside CA="$DIR/gateway-ca.pem" "$PYTHON" -B "$STORIES/redirected_story.py"
is "GET /pinned pinned.test 0" pinned https://pinned.test/pinned
echo "ok passed on unopened"

before=$(wc -l < origin.log)
is 400 status -H 'Host: clear.test:81' http://clear.test/
is 400 status --resolve clear.test:8080:203.0.113.7 -H 'Host: clear.test' http://clear.test:8080/
echo "ok another port is refused"
is 400 status -H 'Host: clear.test' https://listed.test/
echo "ok another host inside TLS is refused"
refuses "35 56" ask -k https://203.0.113.7/
echo "ok no name is refused"
is 403 status http://inner.test/
is 403 status http://169.254.169.254/latest/
echo "ok special addresses are not dialled"
is 407 status --interface 10.77.0.3 http://clear.test/
refuses "35 56" ask --interface 10.77.0.3 https://listed.test/
refuses "35 56" pinned --interface 10.77.0.3 https://pinned.test/
echo "ok sources that are not listed are nobody"
refuses "52 56" ask http://10.77.0.1:7083/
refuses "52 56" curl -sS --max-time 40 http://127.0.0.1:7083/
echo "ok the gateway is no destination"
[ "$(wc -l < origin.log)" = "$before" ] || fail "something was sent: $(cat origin.log)"

"$NARROWS" sessions --principal redirected -c narrows.yaml --json > sessions.json
id=$("$PYTHON" -c 'import json; print(json.load(open("sessions.json"))[0]["id"])')
"$NARROWS" show "$id" -c narrows.yaml --json > show.json
echo "ok recorded"
kill $gateway
wait $gateway || fail "the gateway ended with $?"
