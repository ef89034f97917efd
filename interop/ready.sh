# To be sourced by the scripts of the suites that start the real binary.

# ready LOG PID [NAME]: waits until the server with this process id, whose standard error goes to LOG, is ready, and prints the
# address at which it listens for NAME (http). When it has ended, or is not ready after two minutes, it shows the log and fails.
ready() {
  local log=$1 pid=$2 name=${3:-http} http
  for _ in $(seq 1200); do
    http=$(sed -n 's/.*msg=listening for=http addr=\([^ ]*\).*/\1/p' "$log")
    if [ -n "$http" ] && curl -fs -m 10 -o /dev/null "http://$http/readyz"; then
      sed -n "s/.*msg=listening for=$name addr=\([^ ]*\).*/\1/p" "$log"
      return
    fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  printf 'casepress is not ready:\n' >&2
  cat "$log" >&2
  return 1
}
