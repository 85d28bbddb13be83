# needs: cargo
set -eu
export CARGO_NET_OFFLINE=true CARGO_HOME=$PWD/home RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
cargo new -q --vcs none hello >/dev/null 2>&1; cd hello; cargo build -q --offline; ./target/debug/hello
