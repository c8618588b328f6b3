# halctl doctor beside the plays of the runbook: it must name each incident from its symptoms alone, and `--fix --yes`
# must heal those that are safe to heal. Lines of the plays:
#
#   calm                      all is well: what doctor finds now is not what comes next; the clock starts with the next `do`
#   named HOST TITLE: CAUSE   doctor on that host finds something that it did not, and names that incident of the runbook
#   healed                    `doctor --fix --yes` makes the fleet whole again; how long after the fault is measured
#   by_hand WHY               doctor offers to do nothing about it by itself

doctor_table=target/host/doctor.md
doctor_rows=0
fault_at=

calm() {
    local host
    for host in supervisor-host agent-host; do
        in_machine "/root/ask_doctor $host" >"target/host/calm.$host"
    done
    fault_at=
}

# The clock of the fault.
begins() {
    fault_at=${fault_at:-$(date +%s%3N)}
}

# What doctor finds on a host and did not find before.
news_of() {
    in_machine "/root/ask_doctor $1" | grep -vFxf "target/host/calm.$1" | grep -v '^exit '
}

named() {
    local host=${1%% *} rest=${1#* } end=$((SECONDS + 120))
    title=${rest%%: *} cause=${rest#*: }
    while :; do
        news=$(news_of "$host")
        finding=$(awk -F'|' -v title="$title" '
            $1 == title { print $3 (before ? " (after" before ")" : ""); exit } { before = before " " $3 }' <<<"$news")
        [ -z "$finding" ] || break
        if [ $SECONDS -ge $end ]; then
            wrong "doctor on $host does not name: $title" "$news"
            finding=-
            break
        fi
    done
    echo "doctor                 $host names it: $finding"
}

row() {
    local is_named=yes
    [ "$finding" != - ] || is_named=no
    doctor_rows=$((doctor_rows + 1))
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$doctor_rows" "$title" "$cause" "$is_named" "$finding" "$1" "$2" \
        >>"$doctor_table"
}

healed() {
    local said before=$failed end
    said=$(in_machine '/root/ask_doctor supervisor-host --fix --yes; cat /root/doctor.err')
    ! grep -qx 'exit 1' <<<"$said" || wrong "doctor --fix did not help" "$said"
    the_fleet_is_there
    # A supervisor that has just been started may still be making its mirror anew, and says so: it is healed when nothing
    # is found any more.
    end=$((SECONDS + 60))
    while said=$(news_of supervisor-host | grep -vF '|low|' | grep -F "$title|") && [ $SECONDS -lt $end ]; do :; done
    local took=$(($(date +%s%3N) - fault_at))
    [ -z "$said" ] || wrong "doctor still finds, after --fix" "$said"
    [ "$failed" -eq "$before" ] && row yes "$((took / 1000)).$((took % 1000 / 100))" || row no -
    echo "doctor                 --fix has healed it, $took ms after the fault"
}

by_hand() {
    local offers
    offers=$(awk -F'|' -v title="$title" '$1 == title && $5 != ""' <<<"$news")
    [ -z "$offers" ] || wrong "doctor would do by itself what is not safe" "$offers"
    row "not safe: $1" -
}

doctor_is_shown() {
    echo "== halctl doctor on each incident; the table: $doctor_table"
    cat "$doctor_table"
}
