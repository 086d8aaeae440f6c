# Short names for what is done often. `make check` is what CI runs.

FUZZ_SECONDS ?= 120

.PHONY: check test lint fuzz deny packages

check:
	.ci/run

test:
	cargo test --locked

lint:
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

# Needs cargo-fuzz (cargo install cargo-fuzz). The code has nothing unsafe, so a sanitizer would only slow it down.
fuzz: export RUSTC_BOOTSTRAP = 1
fuzz:
	cargo build --locked --release
	fuzz/seeds
	cd fuzz && for target in $$(cargo fuzz list --fuzz-dir .); do \
	    cargo fuzz run --fuzz-dir . -s none $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=200 || exit 1; \
	done

# Needs cargo-deny (cargo install cargo-deny). Advisories need the network.
deny:
	cargo deny check bans licenses sources

# Needs cargo-deb (cargo install cargo-deb), and what docs/live.md lists for a static binary.
packages:
	scripts/release
	scripts/check-packages
