#!/usr/bin/env bash
# Imports the real data through the command, split among five devices that edit and merge by bundles, and has every cell of
# every row checked against the CSV files in the export of a sixth device that imported nothing. The same device's bundle
# is verified by the independent reader, which must come to the same digest.
# The same over the network: through_relay.sh.
#
#     FIELDBOOK_DATA=FOLDER tests/every_cell.sh target/release/fieldbook [python3]
set -euo pipefail
fieldbook=$(realpath "$1")
python=${2:-python3}
if [ "${python#*/}" != "$python" ]; then python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python"); fi
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${FIELDBOOK_DATA:-}" ]; then
    echo "FIELDBOOK_DATA is not set: the real data is not checked"
    exit 0
fi
data=$(realpath "$FIELDBOOK_DATA")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

devices=(ana ben chloe dae eli)
# Makes a device by joining, and lets it in: join DEVICE OPTION...
join() {
    local device=$1 key
    shift
    key=$("$fieldbook" -C "$device" join --name "$device" "$@" --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["key"])')
    "$fieldbook" -C ana grant "$key" --person "$device" >/dev/null
}

"$fieldbook" -C ana init --name Ana --partition office
"$fieldbook" -C ana export --signed seed.fieldbook
for device in "${devices[@]:1}" auditor; do join "$device" --bundle seed.fieldbook; done
"$fieldbook" -C ana export --signed seed.fieldbook
for device in "${devices[@]:1}" auditor; do "$fieldbook" -C "$device" merge seed.fieldbook >/dev/null; done

part=0
for device in "${devices[@]}"; do
    part=$((part + 1))
    for mapping in food_inspections northwind_orders; do
        "$fieldbook" -C "$device" import --mapping "$mapping" --data "$data" --part "$part/5" >/dev/null
    done
    "$fieldbook" -C "$device" export --signed "$device.fieldbook"
done

# Everybody gets everything, then all write apart at the same places, each also where another one imported.
for device in "${devices[@]}"; do "$fieldbook" -C "$device" merge ./*.fieldbook >/dev/null; done
orders=($(tail -n +2 "$data/northwind_orders.csv" | cut -d, -f1 | head -4))
inspections=($(grep -oE '^[0-9]{7},' "$data/food_inspections.csv" | tr -d , | head -4))
for device in "${devices[@]}"; do
    for order in "${orders[@]}"; do "$fieldbook" -C "$device" text "$order" notes --set "$device was here 🙂" >/dev/null; done
    for inspection in "${inspections[@]}"; do
        "$fieldbook" -C "$device" text "$inspection" findings --set "Findings of $device" >/dev/null
    done
    "$fieldbook" -C "$device" export --signed "$device.fieldbook" >/dev/null
done

"$fieldbook" -C auditor merge "${devices[@]/%/.fieldbook}"
"$fieldbook" -C auditor export --state state.json --signed auditor.fieldbook
for device in "${devices[@]}"; do
    "$fieldbook" -C auditor text "${orders[0]}" notes | grep -q "$device" || { echo "the note of $device is lost"; exit 1; }
done
"$python" "$here/check_import.py" state.json "$data"
digest=$("$fieldbook" -C auditor verify --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
"$python" "$here/../spec/check.py" bundle auditor.fieldbook --digest "$digest"
