#!/usr/bin/env bash
# Makes scx-lint available to the steps after this one: the runner's own, the binary of a release, or one that cargo builds from the
# action's own sources.
set -euo pipefail

if [ -z "${INPUT_VERSION:-}" ] && command -v scx-lint >/dev/null; then
    scx-lint --version
    exit 0
fi

# shellcheck source=action/origin.sh
. "${BASH_SOURCE%/*}/origin.sh"
target=x86_64-unknown-linux-gnu
folder=$RUNNER_TEMP/scx-lint
mkdir -p "$folder"
own=$(sed -n 's/^version = "\(.*\)"/\1/p' "$GITHUB_ACTION_PATH/Cargo.toml" | head -1)
version=${INPUT_VERSION:-}
# v0.1.0, as tags are, is 0.1.0.
version=${version#v}
# A tag of the action, v0.1 or v0.1.0, stands for the release of its sources.
if [ -z "$version" ] && [[ $ref =~ ^v[0-9] ]]; then version=$own; fi

fetch() {
    local name=scx-lint-$version-$target
    local from=$GITHUB_SERVER_URL/$repository/releases/download/v$version
    curl --fail --silent --show-error --location --retry 3 --output "$folder/$name.tar.gz" "$from/$name.tar.gz" || return 1
    curl --fail --silent --show-error --location --retry 3 --output "$folder/$name.tar.gz.sha256" "$from/$name.tar.gz.sha256" || return 1
    # A damaged or foreign archive ends the job here; building in its place would hide it.
    (cd "$folder" && sha256sum --quiet --check "$name.tar.gz.sha256") || exit 1
    # Nothing in a function ends the script whose failure is asked for.
    tar -xzf "$folder/$name.tar.gz" -C "$folder" || exit 1
    bin=$folder/$name
}

bin=
if [ -n "$version" ] && [ -n "$repository" ] && [ "$(uname -sm)" = 'Linux x86_64' ]; then fetch || true; fi
if [ -z "$bin" ]; then
    if [ -n "$version" ] && [ "$version" != "$own" ]; then
        echo "::error title=scx-lint::there is no binary of version $version; name a version that is released, or none"
        exit 1
    fi
    # Guests need live mode, which needs libelf's headers.
    features=()
    [ -z "${INPUT_VM:-}" ] || features=(--features live)
    cargo install --locked --quiet --path "$GITHUB_ACTION_PATH" --root "$folder" "${features[@]}"
    bin=$folder/bin
fi
echo "$bin" >>"$GITHUB_PATH"
"$bin/scx-lint" --version
