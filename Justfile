# What is done every day. Each recipe is one line a person could type.

# One program for newcomers: a supervisor and an agent for the current folder.
run *args:
    cargo run -- up {{args}}

# All tests, and whatever they need installed first: what CI runs.
test:
    tests/run

# The quick look before a commit.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# The proof by killing, long: hours of kills, every sync and every write, thousands of power cuts; prints a table.
soak kills="1000" power="5000":
    HAL_SOAK=kills={{kills}},syncs=1,power={{power}} cargo test --lib --test it -- power fault:: --nocapture --test-threads=2

# The same for supervisor.db: the runbook, copies, kills, damages, restores and a million events; prints a line for each.
soak-mirror:
    HAL_SOAK=copies=500,mirror_kills=300,damages=100,day=50000,million=1000000 cargo test --release --test it -- mirror:: --nocapture --test-threads=2

# Break each promise on purpose and show which test notices.
sabotage:
    tests/sabotage

# Feed what a stranger may send or a disk may hold, mutated without end, for so many seconds each.
fuzz seconds="300":
    tests/fuzz/run {{seconds}}

# The numbers of the goals, as one table; `just bench --full` takes ten million events.
bench *args:
    cargo bench --bench numbers -- {{args}}

# Put every file into shape.
fmt:
    cargo fmt

# The .deb and the .rpm, from one stripped binary, into target/package.
package *binary:
    packaging/build {{binary}}

# Install the package on a Debian machine of its own, run a fleet there, upgrade it, remove it.
host *args:
    tests/host/run {{args}}

# The incident runbook, executed on a Debian machine of its own: incidents are caused, its lines played, a table made.
runbook *args:
    tests/host/runbook {{args}}
