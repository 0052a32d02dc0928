#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that winnow needs. Safe to run again: returns at once when
# everything is there.
#   deploy/setup.sh [packages]   what building, running and testing needs
#   deploy/setup.sh ci           what .ci/run needs on top: second compiler, formatter, sanitizers
#   deploy/setup.sh --list       prints the names of both lists
# Without root, and without a sudo that asks no password, it installs nothing: it prints what is missing
# and the command that installs it, and exits with 1.
set -euo pipefail

packages=(
    gcc g++ libc6-dev cmake ninja-build pkg-config  # the build
    libjansson-dev libgnutls28-dev                  # JSON; hashes and random bytes
    libsqlite3-dev libfaiss-dev libopenblas-dev     # the corpus, its vectors, matrix products
    libgumbo-dev libcmark-gfm-dev libcmark-gfm-extensions-dev libuchardet-dev libarchive-dev # documents
    libseccomp-dev                                  # the sandbox of document readers
    libmicrohttpd-dev                               # the server
    ca-certificates python3 python3-pip             # models come as packages of pip; nothing of them runs
    libcmocka-dev curl                              # tests
)
ci=(git clang clang-format-14 libclang-rt-14-dev binutils)

case "${1:-packages}" in
packages) wanted=("${packages[@]}") ;;
ci) wanted=("${packages[@]}" "${ci[@]}") ;;
--list)
    printf '%s\n' "${packages[@]}" "${ci[@]}"
    exit 0
    ;;
-h | --help)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*)
    echo "setup: unknown list \"$1\" (see --help)" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "setup: this system has no apt-get. winnow needs what these Debian packages hold:" >&2
    printf '  %s\n' "${wanted[*]}" | fold -s -w 96 >&2
    exit 1
fi

installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
    [[ $'\n'$installed$'\n' == *$'\n'"$package installed"$'\n'* ]] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "all ${#wanted[@]} packages are installed"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "setup: ${#missing[@]} packages are missing, and only root can install them. Run this, then try again:" >&2
        echo "  sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

# One line that moves on a terminal, one line every few seconds elsewhere; all of it in the log.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
show_progress() {
    local line n_fetched=0 n_unpacked=0 n_ready=0 last=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
        Get:*) n_fetched=$((n_fetched + 1)) ;;
        Unpacking*) n_unpacked=$((n_unpacked + 1)) ;;
        "Setting up"*) n_ready=$((n_ready + 1)) ;;
        *) continue ;;
        esac
        if [ -t 1 ]; then
            printf '\r\033[K  %s: %d fetched, %d unpacked, %d ready' "$1" $n_fetched $n_unpacked $n_ready
        elif [ $((SECONDS - last)) -ge 5 ]; then
            last=$SECONDS
            printf '  %s: %d fetched, %d unpacked, %d ready\n' "$1" $n_fetched $n_unpacked $n_ready
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

apt() { # label, arguments of apt-get
    local label=$1 rc=0
    shift
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@" \
        </dev/null 2>&1 | show_progress "$label" || rc=$?
    [ $rc -eq 0 ] || {
        tail -25 "$log" >&2
        echo "setup: apt-get $1 failed" >&2
        exit 1
    }
}

echo "installing ${#missing[@]} missing packages: ${missing[*]}" | fold -s -w 98
apt "package lists" update
apt "packages" install -y --no-install-recommends "${missing[@]}"
echo "installed ${#missing[@]} packages in $SECONDS s"
