# Sets repository and ref: where this action comes from; empty for one that lies in the workspace. The runner keeps actions in
# _actions/OWNER/REPOSITORY/REF. The context's action_repository and action_ref are empty in a composite action at times (actions/runner
# issues 2473 and 2525).
# shellcheck shell=bash disable=SC2034
repository='' ref=''
if [[ ${GITHUB_ACTION_PATH:-} =~ /_actions/([^/]+/[^/]+)/(.+)$ ]]; then
    repository=${BASH_REMATCH[1]} ref=${BASH_REMATCH[2]}
fi
