#!/usr/bin/env bash
# Starts casepress on a free port and drives it as strangers do: with the clients that openapi-generator
# makes from GET /openapi.yaml, with Postman's runner, and with four HTTP stacks by hand; the linters of
# redocly and spectral read the contract. Then it kills the server with SIGKILL, starts it again on the
# same folder, and asks for everything that was answered with a 2xx. What was generated
# and compiled goes away. .ci/install gets what it needs, except Go.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../ready.sh"
cache=${TOOLS:-$HOME/.cache/casepress}
export CASEPRESS_SOURCE=$here/../..
python=$cache/python/bin/python
bin=$here/node_modules/.bin
for need in "$bin/newman" "$python" "$cache/classpath/generator" "$cache/classpath/java"; do
  [ -e "$need" ] || { echo "$need is missing; .ci/install gets it" >&2; exit 1; }
done
"$python" -c 'import httpx, pydantic, urllib3' || { echo "packages of requirements.txt are missing; .ci/install gets them" >&2; exit 1; }
generator=$(<"$cache/classpath/generator")
libraries=$(<"$cache/classpath/java")

work=$(mktemp -d)
mkdir "$work/logs"
server=
stop() {
  local jobs
  jobs=$(jobs -p)
  [ -z "$jobs" ] || kill $jobs 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT

# serve NAME: starts the server and sets CASEPRESS_URL to where it listens.
serve() {
  : >"$work/$1.log"
  "$work/casepress" serve --http-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --data-dir "$work/data" 2>"$work/$1.log" &
  server=$!
  local addr
  addr=$(ready "$work/$1.log" "$server")
  export CASEPRESS_URL=http://$addr
}

# run COMMAND...: a client that hangs fails in the end.
run() { timeout -k 5 900 "$@"; }

# part NAME COMMAND...: runs it and keeps output, result and seconds. bash does not stop at the first
# failure in there, so the functions below join what they do with &&.
part() {
  local name=$1 start=${EPOCHREALTIME/./} status=0; shift
  ("$@") >"$work/logs/$name" 2>&1 || status=$?
  printf '%d %d\n' $status $(((${EPOCHREALTIME/./} - start) / 100000)) >"$work/$name.result"
}

generators() {
  local configs=()
  config() { # NAME OPTION...
    local name=$1; shift
    printf '%s\n' "generatorName: $name" "inputSpec: $work/openapi.yaml" "outputDir: $work/$name" "$@" >"$work/$name.yaml"
    configs+=("$work/$name.yaml")
  }
  config typescript-fetch 'additionalProperties: {importFileExtension: .js}'
  config typescript-axios 'additionalProperties: {importFileExtension: .js}'
  config python
  config go 'additionalProperties: {packageName: openapi, isGoSubmodule: true}'
  config java 'library: okhttp-gson'
  run java -XX:+UseSerialGC -cp "$generator" org.openapitools.codegen.OpenAPIGenerator batch --fail-fast -r 2 "${configs[@]}"
}

typescript() { # fetch or axios
  local folder=$work/typescript-$1-test
  mkdir "$folder" && ln -s "$here/node_modules" "$folder/node_modules" && mv "$work/typescript-$1" "$folder/client" &&
    cp "$here/typescript/tsconfig.json" "$here/typescript/$1.ts" "$here/node/files.mjs" "$here/node/files.d.mts" "$folder" &&
    printf '{"type": "module"}\n' >"$folder/package.json" &&
    (cd "$folder" && "$bin/tsc" -p . && cp files.mjs out && run node "out/$1.js")
}

generated_python() {
  "$python" -m compileall -q "$work/python/openapi_client" &&
    PYTHONPATH=$work/python run "$python" "$here/python/generated.py"
}

go_module() { # a folder for Go's programs, with the generated client if it is there
  mkdir -p "$work/go-$1/openapi" && cp -r "$here/go/." "$work/go-$1" &&
    { [ "$1" != generated ] || cp "$work"/go/*.go "$work/go-$1/openapi"; } &&
    (cd "$work/go-$1" && GOWORK=off GOFLAGS=-mod=mod go build -o program "./$1" && run ./program)
}

java_program() { # NAME CLASS SOURCE...
  local name=$1 class=$2; shift 2
  javac -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -nowarn -proc:none -encoding UTF-8 -cp "$libraries" -d "$work/$name-classes" \
    "$here/java/HandedIn.java" "$here/java/$class.java" "$@" &&
    run java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$work/$name-classes:$libraries" "$class"
}
generated_java() {
  local sources
  mapfile -t sources < <(find "$work/java/src/main/java" -name '*.java')
  java_program java Generated "${sources[@]}"
}

redocly() { REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true run "$bin/redocly" lint "$work/openapi.yaml"; }
spectral() { run "$bin/spectral" lint --fail-severity error -r "$here/spectral.yaml" "$work/openapi.yaml"; }

(cd "$CASEPRESS_SOURCE" && go build -o "$work/casepress" .)
serve first
curl -fs -o "$work/openapi.yaml" "$CASEPRESS_URL/openapi.yaml"

# What needs no generated client runs beside the generator, and the clients beside each other.
clients=(typescript-fetch typescript-axios python go java newman hand-undici hand-httpx hand-net-http hand-java)
running=()
part generate generators & generating=$!
part redocly redocly & running+=($!)
part spectral spectral & running+=($!)
part newman run node "$here/node/newman.mjs" & running+=($!)
part hand-undici run node "$here/node/undici.mjs" & running+=($!)
part hand-httpx run "$python" "$here/python/stack.py" & running+=($!)
part hand-net-http go_module stack & running+=($!)
part hand-java java_program hand-java Stack & running+=($!)
wait "$generating"
part typescript-fetch typescript fetch & running+=($!)
part typescript-axios typescript axios & running+=($!)
part python generated_python & running+=($!)
part go go_module generated & running+=($!)
part java generated_java & running+=($!)
wait "${running[@]}"

kill -KILL "$server"
wait "$server" 2>/dev/null || true
serve second
part after-SIGKILL run node "$here/node/after.mjs" "${clients[@]/#/$work/logs/}"

failed=0
for name in generate redocly spectral "${clients[@]}" after-SIGKILL; do
  read -r status tenths <"$work/$name.result"
  if [ "$status" -ne 0 ]; then failed=$((failed + 1)); printf '\n--- %s\n' "$name"; tail -n 60 "$work/logs/$name"; fi
  printf '%4d.%d s  %s%s\n' $((tenths / 10)) $((tenths % 10)) "$name" "$([ "$status" -eq 0 ] || echo ' FAILED')"
done
if [ "$failed" -eq 0 ]; then cat "$work/logs/after-SIGKILL"; else tail -n 20 "$work"/*.log >&2; fi
printf '%d passed, %d failed\n' $((${#clients[@]} + 4 - failed)) "$failed"
[ "$failed" -eq 0 ]
