# Names for daily commands; each recipe calls cargo, xtask or a script.

# Fast checks while working.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    cargo xtask layers
    cargo xtask tidy
    cargo nextest run --workspace --exclude e2e --status-level fail

# Everything CI runs, or the tests whose names contain NAME.
test NAME="":
    @if [ -z "{{NAME}}" ]; then ./test; else cargo nextest run --workspace {{NAME}}; fi

# Measures, and writes PERFORMANCE.md.
bench *ARGS:
    cargo build --release --locked -p narrows -p bench
    target/release/bench run {{ARGS}}

# Real clients against a real server.
e2e *ARGS:
    cargo build --release --locked -p narrows
    cargo nextest run -p e2e {{ARGS}}

# PostgreSQL's own suites, directly and through the gateway: all, or `just postgres-suites regress`.
postgres-suites *SUITES:
    cargo build --release --locked -p narrows
    ./scripts/postgres_suites.sh {{SUITES}}

# Drivers' own suites, the same way: all, or `just driver-suites asyncpg`.
driver-suites *SUITES:
    cargo build --release --locked -p narrows
    ./scripts/driver_suites.sh {{SUITES}}

# The OpenAI Agents SDK's tests and examples, directly and through the gateway: all, or a part.
sdk-suite *PARTS:
    cargo build --release --locked -p narrows
    ./scripts/sdk_suite.sh {{PARTS}}

# The tests that need a server, against PostgreSQL 13, 14, 16, 17 and 18, or those named.
postgres-versions *MAJORS:
    cargo build --release --locked -p narrows
    ./scripts/postgres_versions.sh {{MAJORS}}

# Licences, sources, bans and advisories of what it is built from (deny.toml).
deny *ARGS:
    ./scripts/deny.sh {{ARGS}}

# The bill of materials in CycloneDX: target/sbom/narrows.cdx.json.
sbom *TARGET:
    cargo xtask sbom {{TARGET}}

# Makes faults and checks what becomes of the gateway: RELIABILITY.md, or `just faults --quick`.
faults *ARGS:
    cargo build --release --locked -p narrows
    ./scripts/faults.sh {{ARGS}}

# The program as it is shipped, and its checksum.
dist:
    ./scripts/dist.sh

# Runs every fuzz target, or those named, for so many seconds each.
fuzz SECONDS="60" *TARGETS:
    ./scripts/fuzz.sh {{SECONDS}} {{TARGETS}}

# Kills a gateway so many times under load, and checks its archive.
kills COUNT="200":
    NARROWS_KILLS={{COUNT}} cargo nextest run --profile long --workspace p5_kill_9_at_any_moment

# Replays one seed of the engine's simulation.
sim SEED:
    NARROWS_SEED={{SEED}} cargo nextest run -p postgres --test simulation --no-capture

# Starts a new protocol's folder.
new-protocol NAME:
    cargo xtask new-protocol {{NAME}}
