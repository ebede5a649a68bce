// What the devices write: every intent of inspections and orders, every type that a mapping knows, and work at the same
// places apart.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { holds } from "./difference.mjs";

export const DEVICES = ["ana", "ben", "chloe"];

/** Carries out intents by name, with the example that the command itself gives for each, changed where said. */
class Writer {
  constructor(book) {
    this.book = book;
    this.documents = [];
    this.done = new Set();
    this.examples = new Map();
    for (const { kind, intent, example } of book.json("ana", "intents")) this.examples.set(`${kind} ${intent}`, example);
  }

  create(device, kind, what = {}) {
    const id = this.book.act(device, `new:${kind}`, "create", { ...this.examples.get(`${kind} create`), ...what });
    const document = { kind, id };
    this.documents.push(document);
    this.done.add(`${kind} create`);
    return document;
  }

  act(device, { kind, id }, intent, what = {}) {
    this.book.act(device, id, intent, { ...this.examples.get(`${kind} ${intent}`), ...what });
    this.done.add(`${kind} ${intent}`);
  }

  acts(device, document, ...intents) {
    for (const intent of intents) this.act(device, document, ...[intent].flat());
  }
}

/** Writes everything and brings it to all devices; gives the documents. */
export function write(book) {
  const writer = new Writer(book);
  const examples = everyIntent(writer);
  const apart = [inspectionApart(writer), orderApart(writer)];
  const typed = everyType(book);
  const texts = textsOfSeveral(writer);
  book.share(DEVICES);
  const left = [...writer.examples.keys()].filter((intent) => !writer.done.has(intent));
  holds(`intents that the story leaves out: ${left.join(", ")}`, left.length === 0);
  return { documents: [...examples, ...apart, ...typed, ...texts], sample: apart[0], intents: writer.done.size };
}

/** Two inspections and two orders from their beginning to their end. */
function everyIntent(writer) {
  const visit = writer.create("ana", "inspection");
  writer.acts("ana", visit, "set_subject", "set_details", "add_item", "set_prompt", "move_item", "remove_item");
  writer.acts("ana", visit, "restore_item", "schedule", "assign", "start", "record_outcome", "set_severity", "measure");
  for (const item of ["10", "47", "55"]) {
    writer.act("ana", visit, "record_outcome", { item, outcome: "pass", severity: undefined });
  }
  writer.acts("ana", visit, "edit_note", "attach", "detach", "attach", "edit_findings", "record_result", "sign_off");
  writer.acts("ana", visit, "submit", "reject", "reopen", "submit", "approve", "close");

  const order = writer.create("ana", "order");
  writer.acts("ana", order, "set_details", "set_customer", "set_dates", "set_ship_to", "set_freight", "add_line");
  writer.acts("ana", order, "move_line", "remove_line", "restore_line", "change_quantity", "change_price");
  writer.acts("ana", order, "change_discount", "edit_notes", "submit", "approve", "start_picking");
  writer.acts("ana", order, ["pick", { units: 4 }], ["pick", { units: 3 }]);
  writer.acts("ana", order, ["dispatch", { partial: true }], "deliver");

  const cancelled = writer.create("ana", "order", { number: "C-1" });
  writer.acts("ana", cancelled, "cancel");
  return [visit, order, cancelled];
}

/** An inspection at which three people work apart: one field in two or three ways, removals against edits. */
function inspectionApart(writer) {
  const { book } = writer;
  const document = writer.create("ana", "inspection", { subject: "Pier 7 ⚓" });
  writer.acts("ana", document, "add_item", "schedule", "start", "attach");
  book.share(DEVICES);
  const risks = ["low", "medium", "high"];
  DEVICES.forEach((device, n) => {
    writer.acts(
      device,
      document,
      ["set_details", { risk: risks[n] }],
      ["set_subject", { category: "Pier", address: `Quay ${n} 🏗`, coordinates: { latitude: `41.9${n}0`, longitude: "-87.6" } }],
      ["assign", { assignee: n === 2 ? null : `${device} 👷` }],
      ["add_item", { item: "new", prompt: `Rope of ${device}`, place: "last" }],
      ["measure", { reading: { value: `${n}.50`, unit: "°C" } }],
      ["record_result", { result: n === 0 ? "pass" : "fail" }],
      ["sign_off", { signoff: `by-${device}`, person: device }],
      ["attach", { file: { hash: "0b".repeat(32), length: 100 + n, media_type: "image/png" } }],
      ["edit_note", { edit: { append: ` ${device} 🙂` } }],
    );
  });
  // Ana removes what Ben and Chloe write into; Chloe removes what nobody else touches.
  writer.act("ana", document, "remove_item");
  writer.act("ben", document, "set_prompt", { prompt: "Ben still asks this" });
  writer.act("chloe", document, "remove_item", { item: "new" });
  book.share(DEVICES);
  writer.act("ben", document, "set_details", { risk: "low" });
  return document;
}

/** An order with counters of one start and of several, and decimals that differ in their scale alone. */
function orderApart(writer) {
  const { book } = writer;
  const document = writer.create("ben", "order", { number: "P-1" });
  writer.acts("ben", document, "set_customer", ["add_line", { line: "1", quantity: "9" }], ["add_line", { line: "2" }]);
  book.share(DEVICES);
  DEVICES.forEach((device, n) => {
    writer.acts(
      device,
      document,
      ["set_freight", { freight: ["12.5", "12.50", "0"][n] }],
      ["add_line", { line: "3", product: `of ${device}`, quantity: `${n + 1}` }],
      ["set_dates", { required: `2026-08-1${n}T00:00:00.00${n}Z` }],
      ["edit_notes", { edit: { append: `${device} 𝄞 ` } }],
    );
  });
  writer.act("ana", document, "remove_line", { line: "2" });
  writer.act("ben", document, "change_quantity", { line: "2", quantity: "0.25" });
  book.share(DEVICES);
  writer.acts("chloe", document, "submit", "approve", "start_picking");
  book.share(DEVICES);
  DEVICES.forEach((device, n) => {
    writer.acts(device, document, ["pick", { line: "1", units: n + 1 }], ["pick", { line: "3", units: 1 }]);
  });
  return document;
}

/** Fields that no schema names: a mapping gives them every type it knows, two devices different cells. */
function everyType(book) {
  const types = ["int", "float", "bool", "counter", "decimal", "string"];
  const fields = types.map((type) => `[[field]]\npath = "odd/${type}"\ncolumn = "${type}"\ntype = "${type}"\n`);
  const time = '[[field]]\npath = "odd/time"\ncolumn = "time"\ntype = "timestamp"\nformat = "%Y-%m-%d %H:%M:%S%.3f"\n';
  const notes = '[[field]]\npath = "notes"\ncolumn = "notes"\ntext = true\n';
  const head = 'kind = "order"\nsource = "types.csv"\nkey = "No"\n[[field]]\npath = "number"\ncolumn = "No"\n';
  writeFileSync(join(book.folder, "types.toml"), `${head}${fields.join("")}${time}${notes}`);
  const rows = [
    ["T-1,-12,0.1,true,5,1.10,plain,2026-03-02 07:00:00.001,note 🙂", "T-2,9007199254740991,-1e300,false,-5,-0.01,\"a, 𝄞\",1969-12-31 23:59:59.999,"],
    ["T-1,13,2.5e-8,false,7,1.1,other,2026-03-02 07:00:00.002,note", "T-2,-9007199254740991,1e21,true,-5,0,,0001-01-01 00:00:00.000,x"],
  ];
  ["ana", "ben"].forEach((device, n) => {
    writeFileSync(join(book.folder, "types.csv"), `No,${types.join(",")},time,notes\n${rows[n].join("\n")}\n`);
    book.ok(device, "import", "--mapping", "types.toml");
  });
  book.share(DEVICES);
  const listed = book.json("chloe", "export", "--state", "-");
  return listed.filter(({ state }) => state.odd).map(({ kind, id }) => ({ kind, id }));
}

/** Texts that several write and cut at once, in rounds. */
function textsOfSeveral(writer) {
  const { book } = writer;
  const document = writer.create("chloe", "inspection", { subject: "Texts" });
  writer.act("chloe", document, "add_item");
  const words = ["Der Kran 🏗 steht.", "𝄞𝄞𝄞", "👩‍👩‍👧 on deck;", "naïve café", "\u{10ffff}|", "line\nbreak\ttab"];
  book.write("chloe", document.id, "findings", "Hull sound. 🙂 Deck wet. Mast 𝒳 straight. Rudder free.");
  for (let round = 0; round < 3; round += 1) {
    book.share(DEVICES);
    DEVICES.forEach((device, n) => {
      const text = [...book.text(device, document.id, "findings").text];
      // Each cuts a stretch, which overlaps with what the others cut, and writes at two places.
      text.splice(4 + 3 * n + round, 5);
      text.splice(2 + 5 * n, 0, ...words[(n + round) % words.length]);
      text.push(...words[(n + 2 * round) % words.length]);
      book.write(device, document.id, "findings", text.join(""));
    });
  }
  // A text that was written and is empty again.
  const item = writer.examples.get("inspection add_item").item;
  book.write("ana", document.id, `items/${item}/note`, "not for long 🙂");
  book.write("ana", document.id, `items/${item}/note`, "");
  return [document];
}

/** The real data, where it is there: imported on two devices, some of it worked on by all. Gives whether it is. */
export function importReal(book, data) {
  if (!data) return false;
  ["ana", "ben"].forEach((device, n) => {
    for (const mapping of ["food_inspections", "northwind_orders"]) {
      book.ok(device, "import", "--mapping", mapping, "--data", data, "--part", `${n + 1}/2`);
    }
  });
  book.share(DEVICES);
  for (const [kind, field] of [["inspection", "findings"], ["order", "notes"]]) {
    const imported = book.json("chloe", "list", kind).filter(({ number }) => /^\d{5,}$/.test(number ?? "")).slice(-3);
    for (const { id } of imported) {
      for (const device of DEVICES) {
        const text = [...book.text(device, id, field).text];
        text.splice(text.length >> 1, 1, `| ${device} 🙂 |`);
        book.write(device, id, field, text.join(""));
      }
    }
  }
  book.share(DEVICES);
  return true;
}
