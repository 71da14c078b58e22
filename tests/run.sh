#!/usr/bin/env bash
# Runs every Rust test: two test programs at a time, each with one test after the other. Most wait for media that plays in
# real time, so two at a time keep two cores busy, and none waits for the last test of another program.
set -euo pipefail
cd "$(dirname "$0")/.."

run_one() {
  local said
  said=$(mktemp)
  if "$1" --test-threads 1 >"$said" 2>&1; then
    # What a passed test printed is of no interest.
    printf '%s\n%s\n' "     Running $(basename "$1")" "$(grep '^test result' "$said")"
  else
    cat "$said"
    echo "FAILED: $1" >&2
    return 1
  fi
  rm "$said"
}
export -f run_one

cargo test --locked --workspace --no-run --message-format json-render-diagnostics \
  | node -e '
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
  const { executable, profile } = JSON.parse(line);
  if (executable && profile.test) console.log(executable);
}
' | xargs --max-procs 2 --max-args 1 bash -c 'run_one "$1"' run_one
