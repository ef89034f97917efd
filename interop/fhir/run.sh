#!/usr/bin/env bash
# FHIR as others see it: LHC-Forms fills in every Questionnaire of a running casepress in a real browser, casepress
# takes what it makes of it, and HAPI's validator looks at every resource that casepress served meanwhile and that
# the tests of package fhir write. Needs Go, Node.js, Chromium and a JDK; .ci/install gets the rest.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../ready.sh"
cache=${TOOLS:-$HOME/.cache/casepress}
for need in "$here/node_modules/lforms" "$here/node_modules/playwright-core" "$cache/classpath/fhir"; do
  [ -e "$need" ] || { echo "$need is missing; .ci/install gets it" >&2; exit 1; }
done
libraries=$(<"$cache/classpath/fhir")

work=$(mktemp -d)
mkdir "$work/logs" "$work/written" "$work/served" "$work/classes" "$work/studies" "$work/studies/made-up"
stop() {
  if [ -e "$work/server.pid" ]; then kill "$(<"$work/server.pid")" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap stop EXIT

# part NAME COMMAND...: runs it and keeps output, result and tenths of a second.
part() {
  local name=$1 start=${EPOCHREALTIME/./} status=0; shift
  ("$@") >"$work/logs/$name" 2>&1 || status=$?
  printf '%d %d\n' $status $(((${EPOCHREALTIME/./} - start) / 100000)) >"$work/$name.result"
}

# A study with a definition that has whatever the others lack, and with a crisis text.
cp "$here/../../fhir/testdata/made-up.json" "$work/studies/made-up"
cat >"$work/studies/S1.json" <<'JSON'
{"schema": 1, "id": "S1", "version": 1, "title": "One", "languages": ["en", "zh-CN"], "instruments": "made-up",
 "crisisText": {"en": "Call 0800 123 at any time.", "zh-CN": "请随时拨打 0800 123。"}}
JSON

lforms() {
  (cd "$here/../.." && go build -o "$work/casepress" .) || return
  "$work/casepress" serve --studies "$work/studies" --http-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --data-dir "$work/data" 2>"$work/server.log" &
  local server=$! addr= status=0
  echo "$server" >"$work/server.pid" # for a run that is cut off: this part is a process of its own
  addr=$(ready "$work/server.log" "$server") || return
  (cd "$here" && CASEPRESS_URL="http://$addr" CASEPRESS_FHIR_SERVED="$work/served" timeout -k 5 900 node --test lforms.test.mjs) || status=$?
  [ $status -eq 0 ] || tail -n 40 "$work/server.log"
  kill "$server" && wait "$server" || true
  rm -f "$work/server.pid"
  return $status
}
written() { cd "$here/../.." && CASEPRESS_FHIR_RESOURCES="$work/written" go test -count=1 ./fhir; }
compile() { javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -nowarn -proc:none -encoding UTF-8 -cp "$libraries" -d "$work/classes" "$here/Validate.java"; }
validate() { timeout -k 5 900 java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$work/classes:$libraries" Validate "$work/written" "$work/served"; }

part lforms lforms & running=($!)
part written written & running+=($!)
part compile compile & running+=($!)
wait "${running[@]}"
part validate validate

passed=0 failed=0
for name in lforms written compile validate; do
  read -r status tenths <"$work/$name.result"
  if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf '\n--- %s\n' "$name"; tail -n 100 "$work/logs/$name"; fi
  printf '%4d.%d s  %s%s\n' $((tenths / 10)) $((tenths % 10)) "$name" "$([ "$status" -eq 0 ] || echo ' FAILED')"
done
[ "$failed" -gt 0 ] || { grep -E '^# (tests|pass)' "$work/logs/lforms"; cat "$work/logs/validate"; }
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
