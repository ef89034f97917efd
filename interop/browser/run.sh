#!/usr/bin/env bash
# Builds casepress, starts it on free ports with a fresh data folder, drives its
# pages with a real browser, and stops it. Needs Go, Node.js and Chromium, and for
# Chinese screenshots a Chinese font. SCREENSHOTS names a folder for screenshots.
# TESTS names some of the files of tests; live.test.mjs starts servers of its own,
# so that it can stop them.
#   ./run.sh [arguments of node --test]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../ready.sh"
work=$(mktemp -d)
server=
stop() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null && wait "$server" || true; fi
  rm -rf "$work"
}
trap stop EXIT

[ -d "$here/node_modules/axe-core" ] || (cd "$here" && npm ci --silent)
(cd "$here/../.." && go build -o "$work/casepress" .)

"$work/casepress" serve --hosts site.test --http-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --data-dir "$work/data" --studies "$here/studies" 2>"$work/log" &
server=$!
addr=$(ready "$work/log" "$server")

status=0
(cd "$here" && CASEPRESS_URL="http://$addr/" CASEPRESS="$work/casepress" timeout -k 5 1800 node --test "$@" ${TESTS:-page.test.mjs questionnaires.test.mjs desk.test.mjs progress.test.mjs live.test.mjs}) || status=$?
if [ "$status" -ne 0 ]; then tail -n 40 "$work/log" >&2; fi
exit "$status"
