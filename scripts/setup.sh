# Sourced by scripts/quickstart, scripts/test and others: `setup` installs the Debian packages that
# are missing and makes .venv, where it is missing or older than what it is made from. `setup tests`
# installs what tests, benchmarks and the bundle take beside that.
# Messages go to standard error. Expects to be called from the top of the project.

setup() {
  setup_packages "$@"
  setup_venv "$@"
}

setup_packages() {
  local package missing=()
  local packages=(clang curl iproute2 libbpf-dev libbpf1 libseccomp2 llvm mmdebstrap netbase
    python3-dev python3-venv wrk)
  if [ "${1:-}" = tests ]; then
    packages+=(attr bpftool busybox-static chromium chromium-driver e2fsprogs faketime kmod
      libcap2-bin linux-perf musl-tools openssl python3-msgpack python3-psutil qemu-system-x86 rpm
      skopeo strace umoci zstd)
    # These also come from other vendors, whose packages conflict with Debian's.
    command -v dockerd >/dev/null || setup_has docker.io || missing+=(docker.io)
    command -v podman >/dev/null || setup_has podman || missing+=(podman conmon)
  fi
  command -v runc >/dev/null || setup_has runc || missing+=(runc)
  for package in "${packages[@]}"; do
    setup_has "$package" || missing+=("$package")
  done
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
  local made_from extras=minimizer
  [ "${1:-}" != tests ] || extras=minimizer,dev
  made_from=$(cat pyproject.toml hatch_build.py agent/bpf/* | sha256sum)
  # What was made for the tests serves as well.
  case $(cat .venv/made-from 2>/dev/null) in
    "$made_from $extras" | "$made_from minimizer,dev") return 0 ;;
  esac
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "cannot make .venv: python3 is $(python3 -V 2>&1), Paredown needs 3.10 or later" >&2
    return 1
  fi
  echo "Making .venv" >&2
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check -e ".[$extras]" </dev/null >&2
  echo "$made_from $extras" >.venv/made-from
}
