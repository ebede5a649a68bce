#!/usr/bin/env bash
# Imports the real data on one device, and has two others get it through a relay process: every cell of every row is
# checked against the CSV files in the export of the third, and the independent reader comes to the same digest. The relay
# is killed with SIGKILL in the middle of the first exchange, and started again.
#
#     FIELDBOOK_DATA=FOLDER tests/through_relay.sh target/release/fieldbook [python3]
set -euo pipefail
fieldbook=$(realpath "$1")
python=${2:-python3}
if [ "${python#*/}" != "$python" ]; then python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python"); fi
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${FIELDBOOK_DATA:-}" ]; then
    echo "FIELDBOOK_DATA is not set: the real data does not go through a relay"
    exit 0
fi
data=$(realpath "$FIELDBOOK_DATA")
work=$(mktemp -d)
relay=
end() {
    if [ -n "$relay" ]; then kill -KILL "$relay" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap end EXIT
cd "$work"

# start LISTEN: a relay process; sets relay to its id and url to where it is.
start() {
    mkfifo ready
    "$fieldbook" relay --data relay --listen "$1" --admin 127.0.0.1:0 --json >ready 2>relay.log &
    relay=$!
    if ! read -r line <ready; then cat relay.log; exit 1; fi
    rm ready
    url=$("$python" -c 'import json, sys; print(json.loads(sys.argv[1])["relay"])' "$line")
}
field() { "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

"$fieldbook" -C ana init --name Ana --partition office >/dev/null
workspace=$("$fieldbook" -C ana status --json | field workspace)
for device in ben chloe; do
    key=$("$fieldbook" -C "$device" join --name "$device" --workspace "$workspace" --partition office --json | field key)
    "$fieldbook" -C ana grant "$key" --person "$device" >/dev/null
done
for mapping in food_inspections northwind_orders; do
    "$fieldbook" -C ana import --mapping "$mapping" --data "$data" >/dev/null
done

start 127.0.0.1:0
"$fieldbook" -C ana sync "$url" >/dev/null 2>&1 &
sync=$!
sleep 0.1
kill -KILL "$relay"
wait "$relay" 2>/dev/null || true
relay=
wait "$sync" || echo "the relay was killed while Ana pushed; she syncs again"
address=${url#ws://}
start "${address%/}"
"$fieldbook" -C ana sync "$url"
# The second round brings everybody the others' names for their devices.
for device in ben chloe ana ben; do "$fieldbook" -C "$device" sync "$url"; done

digest=$("$fieldbook" -C ana verify --json | field digest)
for device in ben chloe; do
    found=$("$fieldbook" -C "$device" verify --json | field digest)
    if [ "$found" != "$digest" ]; then echo "$device has $found, Ana has $digest"; exit 1; fi
done
"$fieldbook" -C chloe export --state state.json --signed chloe.fieldbook >/dev/null
"$python" "$here/check_import.py" state.json "$data"
"$python" "$here/../spec/check.py" bundle chloe.fieldbook --digest "$digest"
