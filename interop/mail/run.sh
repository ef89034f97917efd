#!/usr/bin/env bash
# Hands mails to an SMTP server that others have written, aiosmtpd, with STARTTLS by a certificate made here and a
# password, and reads what has come by Python's email package: mails of a test, of a ladder and of a drill. .ci/install gets what it needs, except Go.
#   ./run.sh [arguments of go test]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${TOOLS:-$HOME/.cache/casepress}/python/bin/python
"$python" -c 'import aiosmtpd' || { echo "packages of requirements.txt are missing; .ci/install gets them" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
  -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
cd "$here/../.."
go build -o "$work/casepress" .
"$python" "$here/suite.py" "$work" "$work/casepress" \
  go test -count=1 -run '^TestOutsideServer$' -timeout 4m "$@" ./notify/mail
