# What the scripts of both packages have in common; packaging/build puts it in front of each.

etc=/etc/hal-o-swarm
state=/var/lib/hal-o-swarm
share=/usr/share/hal-o-swarm
programs="hal-supervisor hal-agent halctl"

# The runbook calls the programs in /usr/local/bin. No package may bring files there, so links are made where nothing
# is, and only links to our own programs are removed.
make_links() {
    for program in $programs; do
        link=/usr/local/bin/$program
        if [ -d /usr/local/bin ] && [ ! -e "$link" ] && [ ! -L "$link" ]; then
            ln -s "/usr/bin/$program" "$link" || true
        fi
    done
}

remove_links() {
    for program in $programs; do
        link=/usr/local/bin/$program
        if [ "$(readlink "$link" || true)" = "/usr/bin/$program" ]; then
            rm -f "$link"
        fi
    done
}

# Both configurations begin with one fresh token, so that an agent beside its supervisor works as it stands. They are
# no conffiles, since dpkg would compare the token with the one it has unpacked. What is there is left alone. A new
# supervisor keeps what fits on half of its disk, and archives the oldest beyond that.
make_configs() {
    mkdir -p "$etc"
    bound=$(half_of_disk)
    token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    for role in supervisor agent; do
        config=$etc/$role.config.json
        [ ! -e "$config" ] || continue
        # By a pipe: a token on a command line could be seen in the list of processes.
        printf 's|CHANGE_ME_SHARED_TOKEN|%s|\ns|"data_dir": "%s"|"data_dir": "%s/agent"|\ns|"max_size": 0|"max_size": %s|\n' \
            "$token" "$state" "$state" "$bound" |
            (umask 077 && sed -f /dev/stdin "$share/$role.config.json" >"$config.new")
        chown "root:$(group_of $role)" "$config.new"
        chmod 0640 "$config.new"
        mv "$config.new" "$config"
    done
}

# As "max_size" of a configuration takes it; 0, which is no bound, where nobody can tell.
half_of_disk() {
    blocks=$(stat -f -c '(%b - %f + %a) * %S' "$state" 2>/dev/null) || blocks=0
    half=$(($blocks / 2 / 1048576))
    if [ "$half" -ge 16 ]; then
        echo "\"${half}MiB\""
    else
        echo 0
    fi
}

# Who may read the configuration of a role: people who use halctl read the supervisor's, and the service its own.
group_of() {
    case $1 in
        agent) echo hal-agent ;;
        *) echo hal-o-swarm ;;
    esac
}

# An agent's configuration from before there were two groups. A running agent is still in the former one, and could not
# read it again: its unit makes up for it at its next start.
share_anew() {
    if [ -d /run/systemd/system ] && systemctl is-active --quiet hal-agent; then
        return
    fi
    for config in "$etc/agent.config.json" "$etc/agent.config.json.backup"; do
        if [ -f "$config" ] && [ "$(stat -c %G "$config")" = hal-o-swarm ]; then
            chgrp hal-agent "$config"
        fi
    done
}

set_up() {
    systemd-sysusers hal-o-swarm.conf
    # It fails in the making of an image, where /proc is missing; the next boot makes up for it.
    systemd-tmpfiles --create hal-o-swarm.conf || true
    share_anew
    make_links
}

# The supervisor is away for a second, and its agents keep what they have to say. An agent is left as it is: a restart
# ends the turns of its coding agents.
mention_agent() {
    if [ -d /run/systemd/system ] && systemctl is-active --quiet hal-agent; then
        echo "hal-agent still runs its former version. When its coding agents are idle: systemctl restart hal-agent"
        if systemctl show hal-agent -p SupplementaryGroups --value | grep -qw hal-o-swarm; then
            echo "Until then they can read the supervisor's files on this machine, by the group hal-o-swarm."
        fi
    fi
}

reload_systemd() {
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
    fi
}
