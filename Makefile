# Two words do everything on a fresh Debian machine with a Rust toolchain: `make dev`, `make test`.
# All else is `cargo xtask`; the words are the same.

# What the tests call, and the Debian package that brings it.
TOOLS = dig=bind9-dnsutils curl=curl python3=python3 pip3=python3-pip node=nodejs npm=npm go=golang-go cc=gcc c++=g++ ip=iproute2
# Programs that find each other through ours; `uwsgi_python3` is how uWSGI's plugin shows itself.
TOOLS += haproxy=haproxy dnsmasq=dnsmasq-base uwsgi=uwsgi-core uwsgi_python3=uwsgi-plugin-python3
TOOLS += pg_ctlcluster=postgresql prometheus=prometheus valgrind=valgrind

# rustup puts cargo here, and a shell that was open before does not know it yet; go.dev puts go there.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

.PHONY: dev test check fix fuzz budgets bench soak ci cargo packages

dev: cargo
	@exec cargo run --bin rutter -- dev

test: cargo packages
	@cargo xtask test

check fix fuzz budgets bench soak: cargo
	@cargo xtask $@

ci:
	@.ci/run

# Without cargo nothing can be built: say how to get it, and stop.
cargo:
	@command -v cargo >/dev/null 2>&1 || { \
	  echo "cargo is missing; this installs it:"; \
	  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"; \
	  exit 1; }
	@command -v cc >/dev/null 2>&1 || .ci/need cc=gcc

packages:
	@.ci/need $(TOOLS)
