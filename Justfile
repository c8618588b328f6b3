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

# The numbers of the goals, as one table; `just bench --full` takes ten million events.
bench *args:
    cargo bench --bench numbers -- {{args}}

# Put every file into shape.
fmt:
    cargo fmt
