#!/usr/bin/env bash
# Runs the tests of package kafka that need a real Apache Kafka, which they start, kill and start again on free
# ports. Needs Go, a JDK of 17 or later and Maven, which brings the broker's jars.
#   ./run.sh [arguments of go test]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
classpath=${TOOLS:-$HOME/.cache/casepress}/classpath/kafka
if [ ! -s "$classpath" ]; then
  mkdir -p "$(dirname "$classpath")"
  mvn -q -B dependency:build-classpath -f "$here/pom.xml" -Dmdep.outputFile="$classpath"
fi
cd "$here/../.."
CASEPRESS_KAFKA_CLASSPATH=$(cat "$classpath") go test -count=1 -run '^TestRealKafka' -timeout 10m "$@" ./kafka
