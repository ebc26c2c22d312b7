# Installs what is missing on Debian or Ubuntu. Sourced by ./quickstart and ./test.
# shellcheck shell=bash

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else die "needs root to run: $* (install sudo, or run as root)"; fi
}

# apt_need COMMAND-OR-FILE PACKAGE...: installs the packages unless the first word is there already.
missing_packages=()
apt_need() {
  local probe=$1; shift
  case $probe in
    */*) compgen -G "$probe" >/dev/null && return 0 ;;
    *) command -v "$probe" >/dev/null 2>&1 && return 0 ;;
  esac
  missing_packages+=("$@")
}

apt_install() {
  [ ${#missing_packages[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 || die "needs these packages, and apt-get is not here: ${missing_packages[*]}"
  say "installing: ${missing_packages[*]}"
  as_root apt-get update -qq
  # The server packages must not start a cluster of their own: ours is private.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    as_root mkdir -p /etc/postgresql-common
    printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing_packages[@]}" >/dev/null
}

need_toolchain() {
  apt_need cc gcc libc6-dev
  apt_need make make
  apt_need curl curl ca-certificates
  # Not libclang-cpp, which other packages bring and bindgen cannot use.
  apt_need "/usr/lib/llvm-*/lib/libclang.so*" libclang-dev
  apt_need "/usr/lib/postgresql/*/bin/postgres" postgresql postgresql-contrib
  apt_need python3 python3
  apt_need ip iproute2
  apt_install
  local wanted
  wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  if ! command -v cargo >/dev/null 2>&1; then
    say "installing Rust $wanted"
    if apt-cache show rustup >/dev/null 2>&1; then
      missing_packages=(rustup); apt_install
      rustup toolchain install "$wanted" --profile minimal --component clippy --component rustfmt
    else
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y -q --profile minimal --default-toolchain "$wanted" --component clippy,rustfmt
      . "$HOME/.cargo/env"
    fi
  fi
  cargo --version >/dev/null || die "cargo does not run"
}

# pip_env DIR PACKAGE...: a Python environment of our own.
pip_env() {
  local dir=$1; shift
  if [ ! -x "$dir/bin/python" ]; then
    python3 -m venv "$dir" 2>/dev/null || {
      missing_packages=(python3-venv); apt_install
      python3 -m venv "$dir"
    }
  fi
  "$dir/bin/python" - "$@" <<'PY' 2>/dev/null && return 0
import importlib.metadata as m, re, sys
for spec in sys.argv[1:]:
    name, _, version = spec.partition("==")
    name = re.sub(r"\[.*\]", "", name)
    if version and m.version(name) != version:
        raise SystemExit(1)
    m.version(name)
PY
  say "installing into ${dir##*/}: $*"
  "$dir/bin/python" -m pip install -q --disable-pip-version-check "$@"
}
