#!/usr/bin/env python3
"""Checks every imported cell: the CSV files of the data set against a JSON export of the documents.

    check_import.py [--kind inspection|order] EXPORT.json... FOLDER

An export is a JSON array of documents {"kind", "id", "state"}, the state nested as its paths are; several exports
count as one. FOLDER holds food_inspections.csv and northwind_*.csv. What the documents should hold is written down
here, apart from the mapping files and from the code that reads them. Prints how much was checked of each file and
column; exits with 1 after the first 20 differences if there are any.
"""

import argparse
import csv
import json
import os
import re
import sys
from datetime import datetime

SHOWN = 20


class Check:
    """Counts what was compared, and keeps the differences."""

    def __init__(self, folder):
        self.folder = folder
        self.columns = {}  # (file, column) -> [comparisons, differences]
        self.rows = {}  # file -> [rows, lines of the rows that were compared]
        self.differences = []

    def read(self, name):
        """The rows of a file, each with the line where it begins."""
        with open(os.path.join(self.folder, name), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header, rows, line = next(reader), [], 2
            for cells in reader:
                if cells:
                    if len(cells) != len(header):
                        sys.exit(f"{name}, line {line}: {len(cells)} cells instead of {len(header)}")
                    rows.append((line, dict(zip(header, cells))))
                line = reader.line_num + 1
        self.rows[name] = [len(rows), set()]
        for column in header:
            self.columns[name, column] = [0, 0]
        return rows

    def same(self, file, line, column, where, wanted, found):
        """Compares what a cell should have become with what the document has there."""
        count = self.columns[file, column]
        count[0] += 1
        self.rows[file][1].add(line)
        # True is 1 in Python, but not in a document.
        if wanted != found or isinstance(wanted, bool) != isinstance(found, bool):
            count[1] += 1
            self.differ(f"{file}, line {line}, column {column}: {where} should be {wanted!r}, is {found!r}")

    def differ(self, text):
        self.differences.append(text)

    def report(self):
        print(f"{'file':<28} {'column':<16} {'rows':>6} {'covered':>8} {'compared':>9} {'different':>10}")
        for (file, column), (compared, different) in self.columns.items():
            rows, lines = self.rows[file]
            print(f"{file:<28} {column:<16} {rows:>6} {len(lines):>8} {compared:>9} {different:>10}")
        compared = sum(count[0] for count in self.columns.values())
        print(f"{compared} comparisons, {len(self.differences)} differences")
        for text in self.differences[:SHOWN]:
            print("  " + text)
        if len(self.differences) > SHOWN:
            print(f"  and {len(self.differences) - SHOWN} more")
        never = [f"{file} {column}" for (file, column), count in self.columns.items() if count[0] == 0]
        if never and any(self.rows[file][0] for file in self.rows):
            print("never compared: " + ", ".join(never))
            return 1
        return 1 if self.differences else 0


def at(state, path):
    """What the state has at a path; None for nothing."""
    for segment in path.split("/"):
        if not isinstance(state, dict) or segment not in state:
            return None
        state = state[segment]
    return state


def timestamp(text, form):
    """A date as the export writes it."""
    time = datetime.strptime(text, form)
    milliseconds = f".{time.microsecond // 1000:03}" if time.microsecond else ""
    return f"{time.year:04}-{time:%m-%dT%H:%M:%S}{milliseconds}Z"


def nullable(nulls, change=lambda text: text):
    """A conversion that takes words for null to nothing."""
    return lambda text: None if text in nulls else change(text)


def by_number(check, documents, kind, rows, file, column):
    """The state of the document of each row. There must be one document for each row, and no others."""
    states = {}
    for document in documents:
        if document["kind"] == kind:
            number = str(at(document["state"], "number"))
            if number in states:
                check.differ(f"two documents of kind {kind} have the number {number}")
            states[number] = document["state"]
    for line, row in rows:
        if row[column] not in states:
            check.differ(f"{file}, line {line}: no document of kind {kind} has the number {row[column]}")
    for number in sorted(set(states) - {row[column] for _, row in rows}):
        check.differ(f"{file} has no row for the document of kind {kind} with the number {number}")
    return [(line, row, states[row[column]]) for line, row in rows if row[column] in states]


def entries(check, state, name, where, wanted):
    """The entries of a collection, which must have exactly these ids, in this order by position."""
    found = at(state, name) or {}
    if set(found) != set(wanted):
        check.differ(f"{where}: {name} should be {sorted(wanted)}, are {sorted(found)}")
        return None
    positions = [at(found[entry], "position") for entry in wanted]
    proper = all(isinstance(position, str) for position in positions)
    if not proper or sorted(set(positions)) != positions:
        check.differ(f"{where}: the positions of {name} are not in the order of the file: {positions}")
    return found


def check_inspections(check, documents):
    file = "food_inspections.csv"
    rows = check.read(file)
    null = nullable({"", "NA"})
    columns = {
        "ID": ("number", null),
        "Date": ("scheduled_at", nullable({"", "NA"}, lambda text: timestamp(text, "%m/%d/%Y"))),
        "DBA": ("subject/name", null),
        "Address": ("subject/address", null),
        "Latitude": ("subject/latitude", null),
        "Longitude": ("subject/longitude", null),
        "FacilityType": ("subject/category", null),
        "InspType": ("inspection_type", null),
        "Risk": ("risk", lambda text: re.fullmatch(r"Risk [123] \((High|Medium|Low)\)", text)[1].lower()),
        "Results": ("result", lambda text: text.lower().replace("w/", "with").replace(" ", "_")),
    }
    for line, row, state in by_number(check, documents, "inspection", rows, file, "ID"):
        for column, (path, change) in columns.items():
            found = at(state, path)
            # A number may be exported as text or as a number.
            found = str(found) if path == "number" and found is not None else found
            check.same(file, line, column, path, change(row[column]), found)
        check_violations(check, file, line, row["Violations"], state)


def check_violations(check, file, line, cell, state):
    items, seen = {}, {}
    for piece in [] if cell in ("", "NA") else cell.split(" | "):
        full = re.fullmatch(r"([0-9]+)\. (.+?) - Comments: (.*)", piece, re.DOTALL)
        bare = re.fullmatch(r"([0-9]+)\. (.+?)(?: - Comments:)?", piece, re.DOTALL)
        if not bare:
            check.differ(f"{file}, line {line}: this script cannot split the violation {piece!r}")
            return
        number, prompt, note = full.groups() if full else (*bare.groups(), "")
        seen[number] = seen.get(number, 0) + 1
        items[number if seen[number] == 1 else f"{number}-{seen[number]}"] = (prompt, note)
    found = entries(check, state, "items", f"{file}, line {line}", list(items))
    if found is None:
        return
    if not items:
        check.same(file, line, "Violations", "items", {}, found)
    for entry, (prompt, note) in items.items():
        where = f"items/{entry}"
        check.same(file, line, "Violations", f"{where}/prompt", prompt, at(found, f"{entry}/prompt"))
        check.same(file, line, "Violations", f"{where}/note", note, at(found, f"{entry}/note") or "")
        check.same(file, line, "Violations", f"{where}/outcome", "fail", at(found, f"{entry}/outcome"))


def check_orders(check, documents):
    orders, details = "northwind_orders.csv", "northwind_order_details.csv"
    customers, products = "northwind_customers.csv", "northwind_products.csv"
    rows = check.read(orders)
    lines = {}
    for line, row in check.read(details):
        lines.setdefault(row["OrderID"], []).append((line, row))
    customer_rows = {row["customerID"]: (line, row) for line, row in check.read(customers)}
    product_rows = {row["ProductID"]: (line, row) for line, row in check.read(products)}
    nulls = {"", "NULL"}
    null, number = nullable(nulls), nullable(nulls, int)
    date = nullable(nulls, lambda text: timestamp(text, "%Y-%m-%d %H:%M:%S.%f"))
    order_columns = {
        "OrderID": ("number", null),
        "CustomerID": ("customer/number", null),
        "EmployeeID": ("employee", null),
        "OrderDate": ("dates/ordered", date),
        "RequiredDate": ("dates/required", date),
        "ShippedDate": ("dates/dispatched", date),
        "ShipVia": ("ship_via", null),
        "Freight": ("freight", null),
    }
    customer_columns = {
        "customerID": ["customer/number"],
        "companyName": ["customer/name", "ship_to/name"],
        "contactName": ["customer/contact"],
        "contactTitle": ["customer/contact_title"],
        "address": ["customer/address", "ship_to/street"],
        "city": ["customer/city", "ship_to/city"],
        "region": ["customer/region", "ship_to/region"],
        "postalCode": ["customer/postal_code", "ship_to/postal_code"],
        "country": ["customer/country", "ship_to/country"],
        "phone": ["customer/phone"],
        "fax": ["customer/fax"],
    }
    line_columns = {
        "ProductID": ("product", null),
        "UnitPrice": ("unit_price", null),
        "Quantity": ("quantity", null),
        "Discount": ("discount", null),
    }
    product_columns = {
        "ProductID": ("product", null),
        "ProductName": ("description", null),
        "SupplierID": ("supplier", null),
        "CategoryID": ("category", null),
        "QuantityPerUnit": ("packaging", null),
        "UnitPrice": ("list_price", null),
        "UnitsInStock": ("in_stock", number),
        "UnitsOnOrder": ("on_order", number),
        "ReorderLevel": ("reorder_level", number),
        "Discontinued": ("discontinued", nullable(nulls, lambda text: {"0": False, "1": True}[text])),
    }
    known = {row["OrderID"] for _, row in rows}
    for order in sorted(set(lines) - known):
        check.differ(f"{details}, line {lines[order][0][0]}: there is no order {order}")
    for line, row, state in by_number(check, documents, "order", rows, orders, "OrderID"):
        for column, (path, change) in order_columns.items():
            found = at(state, path)
            found = str(found) if path == "number" and found is not None else found
            check.same(orders, line, column, path, change(row[column]), found)
        if at(state, "currency") != "USD":
            check.differ(f"{orders}, line {line}: currency should be 'USD', is {at(state, 'currency')!r}")
        customer_line, customer = customer_rows[row["CustomerID"]]
        for column, path in [(column, path) for column, paths in customer_columns.items() for path in paths]:
            where = f"order {row['OrderID']} {path}"
            check.same(customers, customer_line, column, where, null(customer[column]), at(state, path))
        wanted = {detail["ProductID"]: (line, detail) for line, detail in lines.get(row["OrderID"], [])}
        found = entries(check, state, "lines", f"{orders}, line {line}", list(wanted))
        for product, (detail_line, detail) in wanted.items() if found is not None else []:
            entry, where = found[product], f"order {row['OrderID']} lines/{product}/"
            check.same(details, detail_line, "OrderID", "number", detail["OrderID"], str(at(state, "number")))
            for column, (path, change) in line_columns.items():
                check.same(details, detail_line, column, where + path, change(detail[column]), at(entry, path))
            product_line, product_row = product_rows[product]
            for column, (path, change) in product_columns.items():
                check.same(products, product_line, column, where + path, change(product_row[column]), at(entry, path))
            if at(entry, "picked") != 0:
                check.differ(f"{details}, line {detail_line}: {where}picked should be 0, is {at(entry, 'picked')!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["inspection", "order"], help="check only documents of this kind")
    parser.add_argument("exports", nargs="+", metavar="EXPORT.json")
    parser.add_argument("folder", metavar="FOLDER")
    options = parser.parse_args()
    documents = []
    for name in options.exports:
        with open(name, encoding="utf-8") as file:
            documents.extend(json.load(file))
    check = Check(options.folder)
    csv.field_size_limit(1 << 28)
    if options.kind != "order":
        check_inspections(check, documents)
    if options.kind != "inspection":
        check_orders(check, documents)
    return check.report()


if __name__ == "__main__":
    sys.exit(main())
