#!/usr/bin/env python3
"""Writes fuzz/seeds/ from the test vectors in spec/vectors/: what the fuzzers start from, committed.

    python3 fuzz/seeds.py [spec/vectors]
"""

import json
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VECTORS = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "spec" / "vectors"
SEEDS = ROOT / "fuzz" / "seeds"

# Updates as Yjs and yrs write them; the same bytes stand in the tests of crates/crdt/src/yjs.rs.
YJS = {
    "empty": "0000",
    "first": "0101090004010174066162f09f988000",
    "between": "0101ac02058407020368c3a9010701820102",
    "delete": "0001090200010402",
    "javascript": "0102090084010101788109000103090101010501000201010002",
}

# Rows for the mappings of crates/import; every file that a mapping names is the same one.
ROWS = {
    "food_inspections": "ID,Date,DBA,Address,Latitude,Longitude,FacilityType,InspType,Risk,Results,Violations\n"
    '1,01/02/2020,"A ""B""",1 Way,41.5,-87.25,Cafe,Canvass,Risk 1 (High),Pass,"3. HANDS - Comments: WASH | 3. HANDS"\n'
    "2,02/29/2020,C,,NA,,,,Risk 3 (Low),Pass w/ Conditions,\n",
    "northwind_orders": "OrderID,EmployeeID,ShipVia,Freight,OrderDate,RequiredDate,ShippedDate,CustomerID,customerID,"
    "companyName,contactName,contactTitle,address,city,region,postalCode,country,phone,fax,ProductID,Quantity,UnitPrice,"
    "Discount,ProductName,SupplierID,CategoryID,QuantityPerUnit,UnitsInStock,UnitsOnOrder,ReorderLevel,Discontinued\n"
    "1,2,3,32.38,1996-07-04 00:00:00.000,1996-08-01 00:00:00.000,NULL,VINET,VINET,V,P,M,R,R,NULL,51100,F,26,26,"
    "11,12,14.00,0.0,Q,5,4,1 kg,22,30,30,0\n",
}


def write(target, name, data):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def header_body(vectors, refused):
    for entry in vectors["entries"][:6]:
        name = entry["name"].replace(" ", "-")
        write("header_body", f"{name}.signed", bytes.fromhex(entry["signed"]))
        write("header_body", f"{name}.both", bytes.fromhex(entry["header_bytes"] + entry["body_bytes"]))
        write("header_body", f"{name}.skeleton", bytes.fromhex(entry["skeleton"]))
        for number, redacted in enumerate(entry.get("redacted", [])[:1]):
            write("header_body", f"{name}.redacted{number}", bytes.fromhex(redacted["body_bytes"]))
    wanted = [case for case in refused["refused"] if case["form"] in ("header", "body", "skeleton") and case["hex"]]
    for number, case in enumerate(wanted[::12]):
        write("header_body", f"refused{number}.{case['form']}", bytes.fromhex(case["hex"]))


def sync(vectors):
    """Records: a kind, a length in two bytes, so many bytes; the first byte says whether the handshake is real."""

    def cbor(item):
        def head(major, n):
            major <<= 5
            if n < 24:
                return bytes((major | n,))
            for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
                if n < 1 << 8 * size:
                    return bytes((major | code,)) + n.to_bytes(size, "big")
            raise ValueError(n)

        match item:
            case None:
                return b"\xf6"
            case bool():
                return b"\xf5" if item else b"\xf4"
            case int():
                return head(0, item)
            case str() if item.startswith("x:"):
                raw = bytes.fromhex(item[2:])
                return head(2, len(raw)) + raw
            case str():
                return head(3, len(item.encode())) + item.encode()
            case list():
                return head(4, len(item)) + b"".join(map(cbor, item))

    def record(kind, payload):
        return bytes((kind,)) + len(payload).to_bytes(2, "little") + payload

    def say(*items):
        return record(1, cbor(list(items)))

    site = vectors["partition"]
    answered = record(3, b"\0\0")
    end = ["x:" + "01" * 8, 40, "x:" + "08" * 32]
    opened = say([0, site, end, None, True]) + record(3, bytes((0, 2, 0, 0, 0)))
    hands = vectors["handshake"]
    raw = b"".join(record(0, bytes.fromhex(hands[name])) + answered for name in ("hello", "proof"))
    write("sync", "handshake", b"\0" + raw)
    for message in vectors["messages"]:
        name = message["name"].replace(", ", "-").replace(" ", "-")
        write("sync", f"message-{name}", b"\1" + say(message["item"]) + answered)
        write("sync", f"opened-{name}", b"\1" + opened + say(message["item"]) + answered * 2)
    tips = say([3, site, "x:6100000200"]) + record(3, bytes((0, 0, 9)))
    tip = ["x:" + "06" * 32, 3, "x:" + "07" * 32]
    have = say([5, site, [tip], True]) + record(3, bytes((0, 0, 1, 4, 2)))
    want = say([6, site, [["x:" + "07" * 32, []]]]) + record(3, bytes((0, 0, 1)))
    lines = record(2, cbor([site, None, "x:00"])) + answered
    talk = opened + tips + say([4, site, [], True]) + have + want + lines
    talk += say([8, site]) + say([9, site]) + say([10, site]) + answered * 3 + record(5, b"\x20")
    write("sync", "comparison", b"\1" + talk)

    # Typed messages, as `arbitrary` reads them: a choice among some is a number of four bytes.
    def choice(number, of):
        return (-(-number * 2**32 // of)).to_bytes(4, "little")

    def known(number):
        return choice(0, 4) + bytes((number,))

    def typed(number, *fields):
        return record(9, b"\1" + choice(number, 21) + b"".join(fields))

    # Cursors by number: 0 our end, 2 our first page's, 7 the peer's end; see `CONTENT` of the target.
    answers, later = record(14, b"\x0f"), record(15, b"")
    pages = b"".join(record(13, choice(0, 3) + bytes((0, number))) + answers for number in range(3))
    receipts = b"".join(record(12, b"\0" + known(number) + bytes(17)) for number in (2, 0))
    fits = typed(0, b"\0", known(7), b"\1", known(2), b"\1") + answers
    strange = typed(0, b"\0", known(7), b"\0", b"\1") + answers
    comparing = typed(3, b"\0", choice(0, 2), b"\0") + answers + typed(3, b"\0", choice(0, 2), b"\1") + answers
    lines = record(11, b"\0\0" + choice(1, 4) + b"\0\x09") + answers
    ends = b"".join(typed(code, b"\0") + answers for code in (8, 9, 10))
    write("sync", "streaming", b"\1" + fits + pages + receipts + record(16, b"\0") + answers + later * 2)
    write("sync", "meeting", b"\1" + strange + comparing + lines + ends + pages + later * 2)
    opened = typed(1, b"\0", b"\1", known(7), choice(1, 3), b"\0\1") + answers
    write("sync", "calling", b"\3" + record(7, b"\0") + answers + opened + comparing + lines + ends + pages + later)


def page(vectors, refused):
    write("page", "log.bundle", bytes.fromhex(vectors["bundle"]))
    for number, case in enumerate(vectors["pages"]):
        write("page", f"page{number}", bytes.fromhex(case["bytes"]))
    for number, case in enumerate(vectors["stored"]):
        write("page", f"stored{number}", bytes.fromhex(case["stored"]))
    wanted = [case for case in refused["refused"] if case["form"] in ("page", "bundle") and case["hex"]]
    for number, case in enumerate(wanted[::10]):
        write("page", f"refused{number}.{case['form']}", bytes.fromhex(case["hex"]))


def anything():
    # Any bytes are a history, a plan or a harm; these only save the fuzzer the way to long ones.
    source = random.Random(1)
    for target in ("history", "access", "config", "store"):
        for number, length in enumerate((60, 200, 400, 800, 1600)):
            write(target, f"random{number}", source.randbytes(length))


def frames(vectors):
    """Control messages, receipts, pages and the handshake, as they stand in frames."""
    for name in ("hello", "welcome", "proof"):
        write("frames", name, bytes.fromhex(vectors["handshake"][name]))
    write("frames", "refusal", bytes.fromhex(vectors["refusal"]["frame"]))
    write("frames", "receipt", bytes.fromhex(vectors["receipt"]["bytes"]))
    write("frames", "page", bytes.fromhex(vectors["page"]["bytes"]))
    for message in vectors["messages"]:
        write("frames", message["name"].replace(", ", "-").replace(" ", "-"), bytes.fromhex(message["bytes"]))
    for number, case in enumerate(vectors["refused"][::4]):
        write("frames", f"refused{number}", bytes.fromhex(case["hex"]))


def imports():
    for name, rows in ROWS.items():
        mapping = ROOT / "crates" / "import" / "mappings" / f"{name}.toml"
        write("import", f"{name}.csv", rows.encode())
        write("import", f"{name}.both", mapping.read_bytes() + b"\n===\n" + rows.encode())


def main():
    vectors = json.loads((VECTORS / "change-set.json").read_text())
    refused = json.loads((VECTORS / "refused.json").read_text())
    header_body(vectors, refused)
    page(vectors, refused)
    conversation = json.loads((VECTORS / "sync.json").read_text())
    sync(conversation)
    frames(conversation)
    for name, data in YJS.items():
        write("yjs", name, bytes.fromhex(data))
    anything()
    imports()


main()
