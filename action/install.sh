#!/usr/bin/env bash
# Makes scx-lint available to the steps after this one: the runner's own, a published binary, or one built by cargo.
set -euo pipefail

if [ -z "${INPUT_VERSION:-}" ] && command -v scx-lint >/dev/null; then
    scx-lint --version
    exit 0
fi
version=()
[ -z "${INPUT_VERSION:-}" ] || version=(--version "$INPUT_VERSION")
if command -v cargo-binstall >/dev/null; then
    cargo binstall --no-confirm "${version[@]}" scx-lint
else
    cargo install --locked "${version[@]}" scx-lint
fi
