#!/bin/sh
# Copies some of what a minimised corpus has beyond the seeds into fuzz/seeds/TARGET, short and long ones alike, as long as
# there are at most 200 files and 300 KB.
#
#     fuzz/keep.sh TARGET...
set -eu
cd "$(dirname "$0")"
for target in "$@"; do
    room=$((200 - $(find "seeds/$target" -type f | wc -l)))
    bytes=$(find "seeds/$target" -type f -printf '%s\n' | awk '{ all += $1 } END { print all + 0 }')
    new=$(find "corpus/$target" -type f -printf '%s %f\n' | sort -n)
    echo "$new" | awk -v all="$(echo "$new" | wc -l)" -v room="$room" -v bytes="$bytes" '
        all <= room || int(NR * room / all) > int((NR - 1) * room / all) { bytes += $1; if (bytes <= 300000) print $2 }
    ' | while read -r name; do
        cp "corpus/$target/$name" "seeds/$target/$name"
    done
    echo "$target: $(find "seeds/$target" -type f | wc -l) files"
done
