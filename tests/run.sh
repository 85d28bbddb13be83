#!/usr/bin/env bash
# Everything that must pass. Installs what it needs first (tests/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

./tests/setup.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --profile fast -- -D warnings
# The binaries that the conformance tests run.
cargo build --profile fast -p runsc-cli
# Every failure is shown, not only those of the first program that fails.
cargo test --workspace --profile fast --no-fail-fast
