# Sourced by scripts/quickstart, scripts/test and scripts/bench: `setup` installs the Debian packages
# that are missing and makes .venv, where it is missing or older than what it is made from.
# Messages go to standard error. Expects to be called from the top of the project.

setup() {
  setup_packages
  setup_venv
}

setup_packages() {
  local package missing=()
  for package in attr bpftool busybox-static chromium chromium-driver clang curl e2fsprogs \
    faketime iproute2 kmod libbpf-dev libbpf1 libcap2-bin libseccomp2 linux-perf llvm mmdebstrap \
    musl-tools openssl python3-dev python3-msgpack python3-psutil python3-venv qemu-system-x86 rpm \
    skopeo strace umoci wrk zstd; do
    setup_has "$package" || missing+=("$package")
  done
  # These also come from other vendors, whose packages conflict with Debian's.
  command -v dockerd >/dev/null || setup_has docker.io || missing+=(docker.io)
  command -v podman >/dev/null || setup_has podman || missing+=(podman conmon)
  command -v runc >/dev/null || setup_has runc || missing+=(runc)
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "this is no Debian; install what goes by these names: ${missing[*]}" >&2
    return 1
  fi
  echo "Installing ${missing[*]}" >&2
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -ec '
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  ' apt "${missing[@]}" </dev/null >&2
}

setup_has() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

setup_venv() {
  local made_from
  made_from=$(cat pyproject.toml hatch_build.py agent/bpf/* | sha256sum)
  [ "$(cat .venv/made-from 2>/dev/null)" != "$made_from" ] || return 0
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "cannot make .venv: python3 is $(python3 -V 2>&1), Paredown needs 3.10 or later" >&2
    return 1
  fi
  echo "Making .venv" >&2
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[minimizer,dev]' </dev/null >&2
  echo "$made_from" >.venv/made-from
}
