#!/usr/bin/env bash
# Lints for a workflow step: the log in the format asked for, the summary as Markdown, and a SARIF report. The exit status of the
# lint is an output, so that what was found is uploaded before the step fails.
set -euo pipefail

# Reports link to the rules' pages where this action comes from.
# shellcheck source=action/origin.sh
. "${BASH_SOURCE%/*}/origin.sh"
if [ -n "$repository" ]; then
    export SCX_LINT_RULE_PAGES=${GITHUB_SERVER_URL:-https://github.com}/$repository/blob/$ref/docs/rules.md
fi

# Patterns reach scx-lint as they are; it expands them itself.
set -f
# shellcheck disable=SC2206
objects=($INPUT_OBJECTS) arguments=($INPUT_ARGS) images=($INPUT_VM)
set +f
if [ ${#objects[@]} = 0 ]; then
    echo "::error title=scx-lint::input 'objects' names nothing"
    echo "status=2" >>"$GITHUB_OUTPUT"
    exit 0
fi
[ -z "$INPUT_KERNELS" ] || arguments+=(--kernel "$INPUT_KERNELS")
for image in "${images[@]}"; do
    arguments+=(--vm "$image")
done

status=0
scx-lint "${arguments[@]}" --format "${INPUT_FORMAT:-github}" -- "${objects[@]}" || status=$?
echo "status=$status" >>"$GITHUB_OUTPUT"

# The other reports ask no kernel again: their verdict is that of the files. What is about asking is no option of theirs.
files=()
for ((i = 0; i < ${#arguments[@]}; i++)); do
    case ${arguments[i]} in
    --attach) ;;
    --vm | --hold | --workload | --timeout | --save | --compare | --threshold | --vm-memory | --vm-cpus | --vm-accel) ((++i)) ;;
    --vm=* | --hold=* | --workload=* | --timeout=* | --save=* | --compare=* | --threshold=* | --vm-memory=* | --vm-cpus=* | --vm-accel=*) ;;
    *) files+=("${arguments[i]}") ;;
    esac
done
if [ "$INPUT_SUMMARY" = true ]; then
    scx-lint "${files[@]}" --format markdown -- "${objects[@]}" >>"$GITHUB_STEP_SUMMARY" || [ $? -le 2 ]
fi
if [ "$INPUT_SARIF" = true ]; then
    sarif=$RUNNER_TEMP/scx-lint.sarif
    # That of an earlier use in this job is not this one's.
    rm -f "$sarif"
    scx-lint "${files[@]}" --format sarif --output "$sarif" -- "${objects[@]}" || [ $? -le 2 ]
    [ ! -s "$sarif" ] || echo "sarif=$sarif" >>"$GITHUB_OUTPUT"
fi
