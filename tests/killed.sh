#!/usr/bin/env bash
# Has the independent reader verify what survived the kills: the bundles that `FIELDBOOK_KILLED=FOLDER cargo test` left, each
# with the digest that `fieldbook verify` came to.
#
#     tests/killed.sh FOLDER [python3]
set -euo pipefail
python=${2:-python3}
here=$(cd "$(dirname "$0")" && pwd)
for name in device relay; do
    "$python" "$here/../spec/check.py" bundle "$1/$name.fieldbook" --digest "$(cat "$1/$name.digest")"
done
