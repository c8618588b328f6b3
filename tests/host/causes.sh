# What goes wrong in the runbook's incidents, and what a whole fleet is: functions that the plays name.
# Each makes sure that its fault is there.

etc=/etc/hal-o-swarm
db=/var/lib/hal-o-swarm/supervisor.db

# Two nodes on agent-host, and a session that the ledger begins with.
a_fleet() {
    cp target/host/runbook/*.deb "$machine_root/root/hal.deb"
    local file
    for file in second_agent outside typist by_cron ask_doctor; do
        install -m 0755 "tests/host/$file" "$machine_root/root/$file"
    done
    must /root/outside
    must 'apt-get install -y /root/hal.deb'
    must "sed -i 's|ws://localhost:8420|ws://supervisor-host:8420|' $etc/agent.config.json
          systemctl enable -q --now hal-supervisor
          useradd -m ada; su ada -c 'mkdir ~/shop ~/blog'; hal-agent setup --user ada; /root/second_agent"
    both_nodes_are_online
    must ': >/root/ledger'
    the_ledger_grows
}

both_nodes_are_online() {
    within 60 'test "$(halctl nodes list | grep -c "status: online")" = 2'
}

# A session on each node says something that only it says; both come into the ledger.
the_ledger_grows() {
    must 'for project in shop blog; do
              said=$project-$(wc -l </root/ledger)
              id=$(halctl sessions start --project $project --wait -o name "cost 0.01; say ledger-$said" | head -1)
              test -n "$id"; echo "$id ledger-$said" >>/root/ledger
          done'
}

# Ready, both nodes there, the sessions those of the ledger.
the_fleet_is_there() {
    within 60 'test "$(curl -s -o /dev/null -w "%{http_code}" http://localhost:8420/readyz)" = 200'
    both_nodes_are_online
    the_ledger_is_listed
}

# And it works.
the_fleet_is_whole() {
    the_fleet_is_there
    the_ledger_grows
}

# Each thing said is there once, in the API and in the mirror, and money adds up.
nothing_is_lost() {
    play='the ledger'
    must "while read -r id said; do
              test \"\$(halctl sessions logs \$id | grep -cE \"assistant +\$said\$\")\" = 1 || { echo \"\$id \$said\"; exit 1; }
          done </root/ledger"
    within 30 "test \"\$(sqlite3 $db 'SELECT round(sum(cost_usd), 2) FROM costs')\" = \"\$(awk 'END { printf \"%.2f\", NR / 100 }' /root/ledger)\""
    must "test \"\$(sqlite3 $db 'PRAGMA integrity_check')\" = ok"
}

# A service dies and stays so, as after the last of many crashes.
stays_dead() {
    must "mkdir -p /run/systemd/system/$1.service.d
          printf '[Service]\nRestart=no\n' >/run/systemd/system/$1.service.d/dead.conf
          systemctl daemon-reload
          kill -9 \$(systemctl show $1 -p MainPID --value)"
    within 30 "systemctl is-failed -q $1"
    must "rm /run/systemd/system/$1.service.d/dead.conf; systemctl daemon-reload; systemctl is-failed $1"
}

dies_and_comes_back() {
    must "systemctl show $1 -p MainPID >/root/pid; kill -9 \$(systemctl show $1 -p MainPID --value)"
    within 60 "systemctl is-active -q $1; ! systemctl show $1 -p MainPID | cmp -s - /root/pid; ! systemctl show $1 -p NRestarts | grep -qx NRestarts=0"
}

configuration_is_spoilt() {
    must "test -s $etc/$1.config.json.backup; sed -i '1,/{/s/{/{ spoilt/' $etc/$1.config.json; ! hal-$1 --validate"
}

# The figures of a kernel that holds to the limit, which none does for a guest: what the unit says, and how much is used.
memory_of() {
    local unit=$1 group=/root/groups/system.slice/$1.service
    must "mkdir -p $group /etc/systemd/system/$unit.service.d; cd $group; systemctl show $unit -p MemoryLimit --value >memory.max
          echo 'inactive_file 0' >memory.stat; echo $2 >memory.current
          printf '[Service]\nMemoryPressureWatch=off\nBindReadOnlyPaths=/root/groups:/sys/fs/cgroup\n' >/etc/systemd/system/$unit.service.d/groups.conf
          systemctl daemon-reload"
}

memory_is_enough() {
    must "rm /etc/systemd/system/$1.service.d/groups.conf; systemctl daemon-reload"
}

restarts() {
    must "systemctl restart $1"
}

# Some line of the unit's newest matches.
the_log_says() {
    local unit=$1
    shift
    within 60 "journalctl -q -u $unit -n 12 -o cat | grep -E '$*'"
}

alerts_are() {
    within 60 "test \"\$(halctl alerts list --name $1 | grep -c 'name: ')\" = $2"
}

# Events older than the runbook's thirty days, and as many that are not.
events_grow_old() {
    must "for age in 31 29; do
              sqlite3 $db \"INSERT INTO events (type, node_id, data, timestamp) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL
                  SELECT i + 1 FROM n WHERE i < 500) SELECT 'aged.\$age', 'web-1', json_object('n', i),
                  datetime('now', '-\$age days') FROM n;\"
          done"
    aged_events_are 500
}

aged_events_are() {
    within 60 "test \"\$(halctl events list --type aged.31 --limit 0 | wc -l)\" = $1
               test \"\$(halctl events list --type aged.29 --limit 0 | wc -l)\" = 500"
}

young_events_are_forgotten() {
    must "sqlite3 $db \"DELETE FROM events WHERE type = 'aged.29'\""
    within 60 'test "$(halctl events list --type aged.29 --limit 0 | wc -l)" = 0'
}

a_backup_is_made() {
    must 'halctl backup now'
}

# Twelve pages of the file become noise.
the_file_is_damaged() {
    must "python3 -c 'f = open(\"$db\", \"r+b\"); f.seek(9000); f.write(b\"\\xa5\" * 40000)'"
}

the_recovered_file_is_good() {
    must "test \"\$(sqlite3 $db.recovered 'PRAGMA integrity_check')\" = ok
          test \"\$(sqlite3 $db.recovered 'SELECT count(*) FROM events')\" -gt 20"
}

# All that the mirror lacks yet would not be lost.
sessions_are_lost() {
    within 30 "test \"\$(sqlite3 $db 'SELECT count(*) FROM sessions')\" = \"\$(wc -l </root/ledger)\""
    must "sqlite3 $db 'DELETE FROM sessions'"
    within 30 'test "$(halctl sessions list | wc -l)" = 0'
}

the_ledger_is_listed() {
    within 60 'halctl sessions list -o name | sort >/root/listed; cut -d" " -f1 /root/ledger | sort | diff - /root/listed'
}

# The agent's token is another one, which the supervisor says to the agent.
the_token_is_wrong() {
    must "sed -nE 's/.*\"auth_token\": \"([0-9a-f]{64})\".*/\\1/p' $etc/supervisor.config.json >/root/token
          sed -i \"s/\$(cat /root/token)/\$(printf '%064d' 0)/\" $etc/agent.config.json; systemctl restart hal-agent"
    within 60 'journalctl -q -u hal-agent -n 12 -o cat | grep -i token'
    must "grep -q \"\$(cat /root/token)\" $etc/agent.config.json.backup"
}

the_supervisor_is_stopped() {
    must 'systemctl stop hal-supervisor'
    within 60 'journalctl -q _SYSTEMD_INVOCATION_ID=$(systemctl show hal-agent -p InvocationID --value) | grep -i refused'
}

# Open connections end, and new ones are not let in.
connections_are_cut() {
    must 'ss -K state established sport = :8420; ip netns exec agent-host sysctl -q -w net.ipv4.tcp_syn_retries=1
          ! ip netns exec agent-host curl -s -m 3 http://supervisor-host:8420/healthz'
}

ufw_denies() {
    must 'ufw allow 22/tcp; ufw allow 53; ufw deny 8420/tcp; ufw --force enable'
    connections_are_cut
}

ufw_is_off() {
    must 'ufw --force reset; ufw disable; iptables -F; iptables -X; iptables -P INPUT ACCEPT; iptables -P FORWARD ACCEPT
          iptables -P OUTPUT ACCEPT'
}

# Everything is let in that the lines need, but the port only from an address that no agent has any more.
iptables_drops() {
    must 'iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -p tcp --sport 22 -j ACCEPT
          iptables -A INPUT -p udp --dport 53 -j ACCEPT; iptables -A INPUT -p udp --dport 33434:33534 -j REJECT
          iptables -A INPUT -p tcp -s 10.84.20.99 --dport 8420 -j ACCEPT; iptables -P INPUT DROP'
    connections_are_cut
    within 60 'test "$(halctl nodes list | grep -c "status: offline")" = 2'
}

iptables_is_off() {
    must 'grep -q "dport 8420 -j ACCEPT" /etc/iptables/rules.v4; iptables -P INPUT ACCEPT; iptables -F'
}

# The process sleeps for so many seconds between fifths of one. Only that process: a new one is quick.
answers_are_slow() {
    must 'systemctl stop hobble 2>/dev/null || true; pid=$(systemctl show hal-supervisor -p MainPID --value)
          systemd-run -q --collect --unit=hobble sh -c "while kill -STOP $pid; do sleep '"$1"'; kill -CONT $pid; sleep 0.2; done"'
    within 60 'a=$(date +%s%3N); halctl nodes list; b=$(date +%s%3N); test $((b - a)) -gt 1000'
}

answers_are_quick() {
    within 60 '! systemctl is-active -q hobble
               a=$(date +%s%3N); halctl nodes list; b=$(date +%s%3N); test $((b - a)) -lt 1000'
}

# `watch` and its shell have hal-supervisor in their own command lines, so that pgrep prints three numbers, a line each.
pgrep_puts_commas() {
    must 'test ! -e /usr/local/bin/pgrep; printf "#!/bin/sh\nexec /usr/bin/pgrep -d, \"\$@\"\n" >/usr/local/bin/pgrep
          chmod +x /usr/local/bin/pgrep'
}

pgrep_is_itself() {
    must 'rm /usr/local/bin/pgrep'
}

# A session of the first node that nobody needs any more.
a_session_idles() {
    must 'head -1 /root/ledger | cut -d" " -f1 >/root/session'
}

the_session_has_ended() {
    within 30 'halctl sessions get $(cat /root/session) | grep -qE "status.*ended"'
}

# Bills are to be fetched, with a key that the provider does not know.
the_key_is_wrong() {
    must "sed -i 's|^      // \"anthropic\": { .*|      \"anthropic\": { \"enabled\": true, \"api_key\": \"sk-ant-wrong\" },|' $etc/supervisor.config.json
          hal-supervisor --validate; systemctl restart hal-supervisor; echo sk-ant-wrong >/root/api-key"
}

the_key_is_right() {
    must "grep -oE 'sk-ant-[a-z]+' $etc/supervisor.config.json | cmp - /root/provider/key
          curl -s -H \"Authorization: Bearer \$(cat /root/provider/key)\" https://api.anthropic.com/v1/usage | grep has_more"
}

the_collection_is_there() {
    must 'grep -q ready /tmp/supervisor.log; grep -q connected /tmp/agent.log; test "$(wc -l </tmp/system.info)" -gt 5'
}
