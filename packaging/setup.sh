# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared by ./demo and ./run-tests: install packages, build. To be sourced from the top of the tree.

setup_start=$SECONDS

# step TEXT: say what is being done and how far we are.
step() {
    printf '\n== [%3ds] %s\n' $((SECONDS - setup_start)) "$1"
}

packages_build="gcc libc6-dev make cmake pkg-config clang llvm bpftool libbpf-dev libelf-dev libdw-dev zlib1g-dev
    libjansson-dev libncurses-dev libzstd-dev libxxhash-dev"
packages_tests="libcmocka-dev bats jq gdb strace elfutils xxhash python3 perl gawk xz-utils sqlite3
    g++ coreutils util-linux procps man-db groff libcap2-bin e2fsprogs git ruby php-cli lua5.4 nodejs
    default-jdk-headless tmux vim-tiny redis-tools redis-server postgresql
    nginx-light apache2-utils stress-ng chromium chromium-driver"
packages_demo="python3"

# install_packages SET...: those of the named sets that are missing.
install_packages() {
    local set p missing=()
    for set in "$@"; do
        local list="packages_$set"
        for p in ${!list}; do
            dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
        done
    done
    if [ ${#missing[@]} = 0 ]; then
        echo "nothing is missing"
        return 0
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "these Debian packages are missing: ${missing[*]}; run as root, or install them" >&2
        return 1
    fi
    echo "installing: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null && without_services apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
}

# without_services COMMAND...: packages are installed, but the services that come with them are not started.
without_services() {
    local policy=/usr/sbin/policy-rc.d status
    if [ -e $policy ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy || return 1
    "$@"
    status=$?
    rm -f $policy
    return $status
}

# build_tree DIR [CMAKE OPTION...]
build_tree() {
    local dir=$1
    shift
    mkdir -p "$dir" || return 1
    cmake -S . -B "$dir" "$@" >"$dir/build.log" 2>&1 || { cat "$dir/build.log" >&2; return 1; }
    cmake --build "$dir" -j "$(nproc)" >>"$dir/build.log" 2>&1 || { tail -40 "$dir/build.log" >&2; return 1; }
    echo "built in $dir"
}

# bats_counted FILE...: bats, with a closing line that counts.
bats_counted() {
    local out
    out=$(bats --tap "$@" 2>&1)
    echo "$out"
    echo "$(grep -c '^ok' <<<"$out") passed, $(grep -c '^not ok' <<<"$out") failed"
    ! grep -q '^not ok' <<<"$out" && grep -q '^ok' <<<"$out"
}

# alone COMMAND...: to be put in the background; a session of its own, and none of the descriptors that a shell or
# test runner may have left open (the other end of such a pipe is another process's).
alone() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        [ "$fd" -gt 2 ] && eval "exec $fd>&-"
    done 2>/dev/null
    exec setsid "$@"
}
