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
# something, for a documented reason (R1), or be listed there; how often each reason was given is
# printed, and by test in target/postgres_suites/<suite>.masked.reasons, of which
# tests/postgres_suites/masked.txt is what was found last. Differences are left in
# target/postgres_suites/<suite>.<run>.diff.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
. scripts/suites.sh

suites=${*:-regress isolation libpq_pipeline}
place postgres_suites 26432
version=$("$programs/postgres" --version | sed -n 's/.*(Debian \(.*\))/\1/p')
[ -n "$version" ] || die "the installed PostgreSQL is not Debian's: its source package is not known"
upstream_version=${version%%-*}
major=${version%%.*}

# ---- the suites ----------------------------------------------------------------------------------

source=$work/postgresql-$upstream_version
fetch() {
  [ -d "$source" ] && return 0
  say "fetching the source of postgresql-$major $version"
  local release
  release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  debian_source "postgresql-$major=$version" "debian $release" \
    "debian-security $release-security" "debian $release-updates"
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

# ---- one run -------------------------------------------------------------------------------------

regress() { # PORT ARGUMENT...: pg_regress there, into $out
  local to=$1; shift
  (cd "$source/src/test/regress" && ./pg_regress --use-existing --host=127.0.0.1 --port="$to" \
    --user=postgres --dbname=regression --bindir="$programs" --dlpath="$shared" \
    --inputdir=. --outputdir="$out" --max-concurrent-tests=24 "$@")
}

# run SUITE RUN PORT: writes "ok NAME" and "FAILED NAME" lines to SUITE.RUN.results.
run() {
  local suite=$1 name=$2 to=$3 out=$work/$1.$2
  rm -rf "$out" && mkdir -p "$out"
  case $suite in
    regress)
      mkdir -p "$out/results" "$out/testtablespace"
      chmod -R a+rwX "$out"
      cp "$source/src/test/regress/parallel_schedule" "$out/schedule"
      if [ "$name" = masked ]; then
        # It loads C functions and server files into the tables that all others use.
        regress "$port" test_setup >/dev/null
        sed -i '/^test: test_setup$/d' "$out/schedule"
      fi
      regress "$to" --schedule="$out/schedule" >"$out/log" 2>&1 || true ;;
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

unexpected=0
for suite in $suites; do
  rm -f "$work/$suite".*.results "$work/$suite".*.diff
  in_each_run "$suite" regression isolation_regression
  if [ -e "$work/$suite.plain.results" ]; then
    while read -r test; do
      grep -qE "^$suite +plain +$test( |$)" "$accepted" && continue
      echo "  not accepted: $suite plain $test"
      unexpected=$((unexpected + 1))
    done < <(differing "$suite" plain)
  fi
  if [ -e "$work/$suite.masked.results" ]; then
    differing "$suite" masked |
      python3 tests/postgres_suites/reasons.py "$suite" "$work/$suite.masked" "$accepted" \
        >"$work/$suite.masked.reasons" || unexpected=$((unexpected + 1))
    grep 'NOT EXPLAINED' "$work/$suite.masked.reasons" || true
    printf '  %-16s %-10s refused: ' "$suite" masked
    grep -oE '[a-z_]+ [0-9]+' "$work/$suite.masked.reasons" |
      awk '{ all[$1] += $2 } END { for (reason in all) print all[reason], reason }' | sort -rn |
      awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $2, $1 } END { print "" }'
  fi
done
rm -rf "$shared"
[ "$unexpected" = 0 ] || die "$unexpected tests differ without a reason; see $work"
say "every difference has its reason"
