#!/usr/bin/env bash
# Starts casepress on a free port, runs the Python and the Node program of docs/broker.md as they stand, but for the address,
# and asks their groups what came of it.
# .ci/install gets what it needs, except Go.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../ready.sh"
python=${TOOLS:-$HOME/.cache/casepress}/python/bin/python
[ -d "$here/node_modules" ] || { echo "node_modules is missing; .ci/install gets it" >&2; exit 1; }
"$python" -c 'import grpc_tools' || { echo "packages of requirements.txt are missing; .ci/install gets them" >&2; exit 1; }

work=$(mktemp -d)
server=
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT

cd "$here/../.."
go build -o "$work/casepress" .
"$work/casepress" serve --http-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --data-dir "$work/data" 2>"$work/log" &
server=$!
addr=$(ready "$work/log" "$server" grpc)

# program LANGUAGE: what the code block of that language says, with the server's address.
program() { awk -v fence="\`\`\`$1" '$0 == fence {on = 1; next} /^```/ {on = 0} on' docs/broker.md | sed "s/127\.0\.0\.1:9090/$addr/"; }

# acknowledged GROUP: that it has nothing left of the one message.
acknowledged() {
  local lag
  lag=$("$work/casepress" groups visits "$1" --addr "$addr" | awk 'NR == 1 {for (i = 1; i <= NF; i++) if (tolower($i) == "lag") at = i} NR == 2 {print $at}')
  [ "$lag" = 0 ] || { "$work/casepress" groups visits --addr "$addr" >&2; echo "group $1 has not acknowledged" >&2; exit 1; }
}

cp broker/brokerpb/broker.proto "$work"
ln -s "$here/node_modules" "$work/node_modules"
"$python" -m grpc_tools.protoc -I broker/brokerpb --python_out="$work" --grpc_python_out="$work" broker.proto
program python >"$work/example.py"
program js >"$work/example.mjs"
cd "$work"
[ "$(timeout 300 "$python" example.py)" = $'stored at 0\nhandled {"visit":1}' ]
acknowledged python
echo "ok  python"
[ "$(timeout 300 node example.mjs)" = $'stored at 0\nhandled {"visit":1}' ] # the same id is no second message
acknowledged node
echo "ok  node"
