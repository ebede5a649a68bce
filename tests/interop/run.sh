#!/usr/bin/env bash
# Has the JavaScript packages of Automerge and Yjs read what the command exports, and brings back what they type. Devices of
# one workspace write every kind of value, apart and at the same places; with FIELDBOOK_DATA also the real data is read.
# Needs node and npm. All is done in a temporary folder.
#
#     [FIELDBOOK_DATA=FOLDER] tests/interop/run.sh target/release/fieldbook
set -euo pipefail
fieldbook=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${FIELDBOOK_DATA:-}" ]; then FIELDBOOK_DATA=$(realpath "$FIELDBOOK_DATA") && export FIELDBOOK_DATA; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.mjs "$here"/package*.json "$work"
cd "$work"
npm ci --silent --no-audit --no-fund
node interop.mjs "$fieldbook"
