#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs everything KokkosM2 needs on Debian 12 or 13 and builds nothing of the project. Run it again at any time:
# what is already there is left alone. Other systems: docs/install.md.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: cmake/bootstrap.sh [--with-fuzz] [--with-slurm] [--help]

Installs the compiler and libraries from Debian's own packages; needs root or sudo unless everything is there already.
  --with-fuzz   also clang with libFuzzer, for the preset `fuzz`
  --with-slurm  also Slurm, for the tests that submit jobs; it is neither configured nor started
Exit codes: 0 everything is installed, 1 something failed, 2 wrong usage, 3 this is neither Debian 12 nor 13.
TEXT
}

with_fuzz=0
with_slurm=0
for argument in "$@"; do
  case "$argument" in
    --with-fuzz) with_fuzz=1 ;;
    --with-slurm) with_slurm=1 ;;
    --help) usage; exit 0 ;;
    *) echo "bootstrap: unknown option '$argument'" >&2; usage >&2; exit 2 ;;
  esac
done

say() { printf 'bootstrap: %s\n' "$*"; }
die() { printf 'bootstrap: error: %s\n' "$*" >&2; exit 1; }

[ ! -r /etc/os-release ] || . /etc/os-release
case "${ID:-unknown} ${VERSION_ID:-}" in
  'debian 12' | 'debian 13') ;;
  *)
    say "this is '${PRETTY_NAME:-an unknown system}', neither Debian 12 nor 13: nothing installed; docs/install.md lists what is needed"
    exit 3
    ;;
esac

packages=(g++-14 cmake ninja-build openmpi-bin libopenmpi-dev libhdf5-openmpi-dev hdf5-tools libyaml-cpp-dev libgtest-dev
  libgmock-dev libdnnl-dev libpcre2-dev nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev libbenchmark-dev
  libkokkos-dev clang-format-19)
command -v gcc >/dev/null || packages+=(gcc) # HDF5's compiler wrapper calls it; any version does
[ $with_fuzz = 0 ] || packages+=(clang-19 libclang-rt-19-dev libomp-19-dev) # Kokkos' config asks clang for OpenMP
[ $with_slurm = 0 ] || packages+=(slurmctld slurmd slurm-client munge) # the PMIx plugin comes with slurmd

prefix=/usr/local # where a hand-made package belongs and where CMake looks by itself
kernels_package=libtrilinos-kokkos-kernels-dev
kernels_config=$prefix/lib/cmake/KokkosKernels/KokkosKernelsConfig.cmake
kokkos_library_dir=/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/;s/arm64/aarch64/')-linux-gnu

# A present g++ or CMake of Debian 12 is too old, so versions count as well as names.
installed() {
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
    awk '$2 == "installed"' | sort -u | wc -l | grep -qx "${#packages[@]}" &&
    dpkg --compare-versions "$(dpkg-query -W -f '${Version}' cmake)" ge 3.28 &&
    dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libgtest-dev)" ge 1.14
}

kokkos_complete() { [ -e "$kokkos_library_dir/libkokkosalgorithms.a" ] && [ -e "$kokkos_library_dir/libkokkossimd.a" ]; }

if installed && kokkos_complete && [ -e "$kernels_config" ]; then
  say "everything is installed already"
  exit 0
fi

run_as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "packages must be installed: run this as root, or install sudo"
  run_as_root=(sudo)
fi

# The suites trixie, sid and experimental come from the machine's own mirror, through a private apt configuration: the
# machine's sources stay as they are.
state=/var/lib/kokkosm2-bootstrap
mirror=$({ sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null
  sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]\+\)\?\([^[:space:]]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null
} | grep -v -e security -e '^cdrom' | grep -e 'debian/\?$' -e 'debian\.list$' | head -n 1 || true) # sed reports files not there
[ -n "$mirror" ] || die "no Debian mirror found in /etc/apt/sources.list or sources.list.d: add a line 'deb MIRROR/debian $VERSION_CODENAME main'"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r $keyring ] || die "$keyring is missing: install debian-archive-keyring"

if [ "$VERSION_ID" = 12 ]; then
  say "Debian 12: the compiler and libraries come from Debian 13 (trixie); libc6 and libstdc++6 are upgraded with them"
fi
say "Kokkos comes from the suite sid, the Kokkos Kernels headers from experimental"

"${run_as_root[@]}" mkdir -p $state/lists/partial $state/cache/archives/partial $state/download
suites=(trixie sid experimental)
slurm_suite=trixie
# Slurm of Debian 13 needs the systemd of Debian 13. The release file cannot tell: it is among the packages that are
# upgraded on Debian 12.
if [ $with_slurm = 1 ] && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' libsystemd0)" lt 257; then
  slurm_suite=bookworm
  suites+=(bookworm)
fi
[ $with_slurm = 0 ] || say "Slurm comes from the suite $slurm_suite"
for suite in "${suites[@]}"; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
done | "${run_as_root[@]}" tee $state/sources.list >/dev/null
"${run_as_root[@]}" tee $state/preferences >/dev/null <<TEXT
Package: *
Pin: release n=sid
Pin-Priority: 50

Package: kokkos libkokkos*
Pin: release n=sid
Pin-Priority: 995

Package: slurm* libslurm*
Pin: release n=$slurm_suite
Pin-Priority: 995
TEXT
# RUNLEVEL: where there is no systemd, as in a container, invoke-rc.d then starts no service that is installed.
apt=(env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -y
  -o Dir::Etc::sourcelist=$state/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::Lists=$state/lists
  -o Dir::Etc::Preferences=$state/preferences -o Dir::Etc::PreferencesParts=- -o Dir::Cache=$state/cache
  -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User=root
  -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { # runs a command; its output is shown only if it fails
  "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2; die "this failed: $*"; }
}

say "reading the package lists"
quietly "${run_as_root[@]}" "${apt[@]}" update
if ! installed; then
  say "installing ${#packages[@]} packages"
  quietly "${run_as_root[@]}" "${apt[@]}" install --no-install-recommends -t trixie "${packages[@]}"
fi

# Debian's Kokkos config names two archives which hold no code and which the package leaves out.
for archive in libkokkosalgorithms.a libkokkossimd.a; do
  [ -e "$kokkos_library_dir/$archive" ] || quietly "${run_as_root[@]}" ar rcs "$kokkos_library_dir/$archive"
done

# Debian builds Kokkos Kernels only inside Trilinos, for another Kokkos. Its headers are enough: they are unpacked under
# $prefix with a configuration that instantiates nothing and uses no other library.
if [ ! -e "$kernels_config" ]; then
  say "unpacking the Kokkos Kernels headers under $prefix"
  (cd $state/download && "${run_as_root[@]}" rm -rf ./* && quietly "${run_as_root[@]}" "${apt[@]}" download $kernels_package/experimental)
  quietly "${run_as_root[@]}" dpkg -x $state/download/$kernels_package*.deb $state/download/unpacked
  "${run_as_root[@]}" bash -euo pipefail -c '
    config=$(find "$1" -name KokkosKernels_config.h | head -n 1)
    include=$(dirname "$config")
    target=$2/include/kokkos-kernels
    rm -rf "$target" && mkdir -p "$target" "$2/lib/cmake/KokkosKernels"
    cp -rL "$include/." "$target/"
    find "$target" -path "*generated_specializations*" -type f -exec truncate -s 0 {} +
    sed -i -E "s@^[[:space:]]*#[[:space:]]*define[[:space:]]+((KOKKOSKERNELS_(INST|ENABLE_TPL|TPL)|KOKKOSKERNELS_ENABLE_COMPONENT)[A-Z0-9_]*).*@/* #undef \1 */@" "$target/KokkosKernels_config.h"
    sed -i "0,/^#define/s//#define KOKKOSKERNELS_ENABLE_COMPONENT_BLAS\n#define KOKKOSKERNELS_ENABLE_COMPONENT_BATCHED\n#define/" "$target/KokkosKernels_config.h"
  ' bash $state/download/unpacked $prefix
  number=$(sed -n 's/^#define KOKKOSKERNELS_VERSION \([0-9]*\).*/\1/p' $prefix/include/kokkos-kernels/KokkosKernels_config.h)
  version=$((number / 10000)).$((number / 100 % 100)).$((number % 100))
  "${run_as_root[@]}" tee ${kernels_config%.cmake}Version.cmake >/dev/null <<TEXT
set(PACKAGE_VERSION $version)
if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
TEXT
  # Written last: its presence says that the headers are complete.
  "${run_as_root[@]}" tee $kernels_config >/dev/null <<TEXT
include(CMakeFindDependencyMacro)
find_dependency(Kokkos)
if(NOT TARGET Kokkos::kokkoskernels)
  add_library(Kokkos::kokkoskernels INTERFACE IMPORTED)
  target_include_directories(Kokkos::kokkoskernels SYSTEM INTERFACE "$prefix/include/kokkos-kernels")
  target_link_libraries(Kokkos::kokkoskernels INTERFACE Kokkos::kokkos)
endif()
TEXT
  "${run_as_root[@]}" rm -rf $state/download
fi
"${run_as_root[@]}" rm -rf $state/cache
say "done"
