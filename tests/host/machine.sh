# A Debian machine with systemd as a guest of this one, for the scripts beside it.
#
#   machine_build            the root folder of a fresh machine, made once and kept under target/host
#   machine_boot             a copy of it boots, with a network of its own that leads nowhere
#   in_machine 'COMMAND'     a shell command there, as root
#   machine_halt             its end; what it was is thrown away

suite=${HAL_HOST_SUITE:-trixie}
# What a machine has before anything of ours is installed: the tools that an operator uses.
machine_packages=systemd,systemd-sysv,dbus,sudo,sqlite3,curl,procps,lsof,net-tools,iproute2,ca-certificates
# What the runbook's lines ask for besides, what stands in for the world outside, and who types on a terminal.
machine_packages=$machine_packages,nano,ufw,iptables,iputils-ping,traceroute,bind9-dnsutils,openssh-server,cron
machine_packages=$machine_packages,dnsmasq-base,openssl,python3,expect
machine_base=target/host/$suite
machine_root=target/host/$suite.running
machine_pid=
machine_init=

# Prints why no machine can run here, and fails; prints nothing and succeeds where one can.
machine_cannot() {
    local command
    if [ "$(id -u)" -ne 0 ]; then
        echo "only root can start a machine"
    elif ! command -v apt-get >/dev/null; then
        echo "it takes debootstrap and systemd-nspawn, which this script installs on Debian only"
    elif ! unshare --mount --uts --pid --net --fork true 2>/dev/null; then
        echo "this system lets nobody make namespaces"
    else
        for command in debootstrap:debootstrap systemd-nspawn:systemd-container; do
            machine_need "${command%%:*}" "${command##*:}" || {
                echo "the package ${command##*:} cannot be installed"
                return 0
            }
        done
        return 1
    fi
}

machine_need() {
    command -v "$1" >/dev/null && return
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

machine_build() {
    [ ! -e "$machine_base/etc/debian_version" ] || [ ! -e "$machine_base.whole" ] || return 0
    local mirror
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    rm -rf "$machine_base"
    mkdir -p "$machine_base"
    debootstrap --variant=minbase --include="$machine_packages" "$suite" "$machine_base" \
        "${mirror:-http://deb.debian.org/debian}" >"$machine_base.log" 2>&1 || {
        tail -5 "$machine_base.log" >&2
        return 1
    }
    rm -f "$machine_base"/var/cache/apt/archives/*.deb
    echo hal-host >"$machine_base/etc/hostname"
    printf '127.0.0.1 localhost hal-host supervisor-host agent-host\n::1 localhost\n' >"$machine_base/etc/hosts"
    touch "$machine_base.whole"
}

machine_boot() {
    local tries
    rm -rf "$machine_root"
    cp -a --reflink=auto "$machine_base" "$machine_root"
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn -q --register=no --keep-unit --private-network \
        -D "$machine_root" -b >target/host/console.log 2>&1 </dev/null &
    machine_pid=$!
    for tries in $(seq 300); do
        machine_init=$(cat "/proc/$machine_pid/task/$machine_pid/children" 2>/dev/null | tr -d ' ')
        if [ -n "$machine_init" ] && in_machine 'systemctl is-system-running' 2>/dev/null | grep -qE 'running|degraded'; then
            return 0
        fi
        kill -0 "$machine_pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -20 target/host/console.log >&2
    return 1
}

in_machine() {
    nsenter -t "$machine_init" -a -r --wdns=/ env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 sh -c "$1"
}

machine_halt() {
    [ -n "$machine_pid" ] || return 0
    [ -z "$machine_init" ] || in_machine 'systemctl poweroff' >/dev/null 2>&1 || true
    local tries
    for tries in $(seq 100); do
        kill -0 "$machine_pid" 2>/dev/null || break
        sleep 0.2
    done
    kill -KILL "$machine_pid" 2>/dev/null || true
    wait "$machine_pid" 2>/dev/null || true
    machine_pid=
    rm -rf "$machine_root"
}
