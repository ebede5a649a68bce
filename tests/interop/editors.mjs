// Text editors in JavaScript: they begin from the exported texts of a document, type, and what they typed comes back in
// through `fieldbook text --yjs-update`, while the devices go on writing.

import * as Y from "yjs";
import { Difference, holds, same } from "./difference.mjs";
import { DEVICES } from "./story.mjs";
import { load, textsOf } from "./texts.mjs";

const FIELD = "findings";
const BASE = "Hull sound. 🙂 Deck wet. Mast straight.";

/** An editor of one exported document. */
class Editor {
  constructor(exported, client) {
    this.doc = load(exported);
    if (client) this.doc.clientID = client;
    this.before = Y.encodeStateVector(this.doc);
    this.text = this.doc.getText(FIELD);
  }

  /** What was typed since the export. */
  update() {
    return Y.encodeStateAsUpdate(this.doc, this.before);
  }

  /** Types behind some words that are there. */
  typeBehind(words, typed) {
    this.text.insert(this.text.toString().indexOf(words) + words.length, typed);
  }

  cut(words) {
    this.text.delete(this.text.toString().indexOf(words), words.length);
  }
}

// What the editor does, and what the devices make of the text meanwhile.
const EDITS = [
  {
    name: "an insert in the middle",
    type: (editor) => editor.typeBehind("Hull", " [JS]"),
    here: { ben: (text) => `${text} Ben.`, chloe: (text) => text.replace("Deck", "Deck (Chloe)") },
  },
  {
    name: "astral characters beside astral characters",
    type: (editor) => editor.typeBehind("🙂", "𝄞🏗"),
    here: { ben: (text) => text.replace("sound", "sound 👷") },
  },
  {
    name: "a deletion that overlaps with one here",
    type: (editor) => editor.cut("sound. 🙂 Deck"),
    here: { ben: (text) => text.replace("🙂 Deck wet", "dry"), chloe: (text) => `Chloe: ${text}` },
  },
  {
    name: "a deletion around what is written here",
    type: (editor) => editor.cut("Deck wet"),
    here: { ben: (text) => text.replace("Deck", "Deck <Ben>") },
  },
  {
    name: "the same place as here",
    type: (editor) => editor.typeBehind("wet", " [JS 𝄞]"),
    here: { ben: (text) => text.replace("wet", "wet <Ben 🙂>") },
  },
  {
    name: "everything replaced",
    type: (editor) => {
      editor.text.delete(0, editor.text.length);
      editor.text.insert(0, "All new 🙂");
    },
    here: { chloe: (text) => text.replace("Mast", "Mast (Chloe)") },
  },
  {
    name: "keys typed one by one, some taken back",
    type: (editor) => {
      [..."slow 🙂 typing"].forEach((key) => editor.text.insert(editor.text.length, key));
      editor.text.delete(editor.text.length - 6, 3);
      const undo = new Y.UndoManager(editor.text);
      editor.text.insert(0, "undone");
      undo.undo();
    },
    here: { ana: (text) => text.replace("Hull", "Hull (Ana)"), ben: (text) => `Ben ${text}` },
  },
  {
    name: "a delta of keeps, inserts and deletes",
    type: (editor) => editor.text.applyDelta([{ retain: 5 }, { delete: 5 }, { insert: "sunk 🌊" }, { retain: 2 }, { insert: "!" }]),
    here: { chloe: (text) => text.replace("straight", "bent") },
  },
];

/** Every edit comes back, and is merged as Yjs itself merges it. */
export function bringBack(book, counts) {
  const edits = EDITS.map((edit) => begin(book, edit));
  const two = beginTwoTexts(book);
  book.share(DEVICES);
  edits.forEach((edit) => typeApart(book, edit));
  typeTwoTexts(book, two);
  book.share(DEVICES);
  edits.forEach((edit) => compareMerged(book, edit));
  const read = textsOf(load(book.image("ben", two.document, "yjs")));
  same("two texts of one editor", read, textsOf(two.editor.doc));
  counts.back += edits.length + 1;
}

function create(book, subject, items = []) {
  const id = book.act("ana", "new:inspection", "create", { subject, inspection_type: "Canvass", items });
  return { kind: "inspection", id };
}

/** A text of which something was deleted before. */
function begin(book, edit) {
  const document = create(book, edit.name);
  book.write("ana", document.id, FIELD, `${BASE} Gone.`);
  book.write("ana", document.id, FIELD, BASE);
  return { ...edit, document };
}

/** The devices and an editor type apart; then Ana takes in what the editor did. */
function typeApart(book, edit) {
  const { document, type, here } = edit;
  edit.exported = book.image("ana", document, "yjs");
  const editor = new Editor(edit.exported);
  type(editor);
  for (const [device, change] of Object.entries(here)) book.write(device, document.id, FIELD, change(BASE));
  // Without the editor, but with everything that was written here.
  edit.written = Object.keys(here).map((device) => book.image(device, document, "yjs"));
  book.ok("ana", "text", document.id, FIELD, "--yjs-update", book.file(editor.update()));
}

function compareMerged(book, { name, document, type, exported, written }) {
  const text = book.text("chloe", document.id, FIELD).text;
  for (const device of DEVICES) same(`${name}: the text of ${device}`, book.text(device, document.id, FIELD).text, text);

  // Yjs orders what is typed at one place by client, so an editor with the smallest or the largest client has what we have.
  const candidates = [1, Number.MAX_SAFE_INTEGER].map((client) => {
    const editor = new Editor(exported, client);
    type(editor);
    for (const state of written) Y.applyUpdate(editor.doc, state);
    return editor.text.toString();
  });
  if (!candidates.includes(text)) {
    throw new Difference(`${name}\n  in Fieldbook  ${text}\n  in Yjs        ${candidates.join("\n            or  ")}`);
  }
  // Who only reads goes on with the next export, whole or what is new in it.
  const next = book.image("ben", document, "yjs");
  const [reader, late] = [load(exported), load(exported)];
  Y.applyUpdate(reader, next);
  Y.applyUpdate(late, Y.diffUpdate(next, Y.encodeStateVector(late)));
  same(`${name}: the document that JavaScript kept`, reader.getText(FIELD).toString(), text);
  same(`${name}: the document that took what is new`, late.getText(FIELD).toString(), text);
  // And an editor goes on from it.
  const again = new Editor(next);
  again.text.insert(0, "Again: ");
  book.ok("ben", "text", document.id, FIELD, "--yjs-update", book.file(again.update()));
  same(`${name}: the next edit`, book.text("ben", document.id, FIELD).text, `Again: ${text}`);
}

function beginTwoTexts(book) {
  const document = create(book, "Two texts", [{ item: "1", prompt: "Ropes" }]);
  book.write("ana", document.id, FIELD, BASE);
  return { document };
}

/** One editor types in two texts of a document, one of which was empty. */
function typeTwoTexts(book, two) {
  two.editor = new Editor(book.image("ana", two.document, "yjs"));
  two.editor.doc.getText("items/1/note").insert(0, "frayed 🙂");
  two.editor.typeBehind("Hull", " and keel");
  book.ok("ana", "text", two.document.id, FIELD, "--yjs-update", book.file(two.editor.update()));
}

// What no editor of these texts sends, or was not meant for them: what is made, and what the command says.
const REFUSED = [
  ["of another document", ({ other }) => typed(other, (editor) => editor.typeBehind("Other", " hull")), /builds on text that is not here/],
  ["a whole document", ({ exported }) => {
    const editor = new Editor(exported);
    editor.typeBehind("Hull", "!");
    return Y.encodeStateAsUpdate(editor.doc);
  }, /not one new client's own text/],
  ["two clients", ({ exported }) => {
    const [one, two] = [new Editor(exported), new Editor(exported)];
    one.typeBehind("Hull", "1");
    two.typeBehind("wet", "2");
    return Y.mergeUpdates([one.update(), two.update()]);
  }, /not one new client's own text/],
  ["the second half of what was typed", ({ exported }) => {
    const editor = new Editor(exported);
    editor.typeBehind("Hull", "first");
    const half = Y.encodeStateVector(editor.doc);
    editor.typeBehind("wet", "second");
    return Y.encodeStateAsUpdate(editor.doc, half);
  }, /not one new client's own text/],
  ["a map", ({ exported }) => typed(exported, ({ doc }) => doc.getMap("details").set("risk", "low")), /a value of a map or list is not plain text/],
  ["an array", ({ exported }) => typed(exported, ({ doc }) => doc.getArray("list").push([1])), /a value of a map or list is not plain text/],
  ["XML", ({ exported }) => typed(exported, ({ doc }) => doc.getXmlFragment("page").push([new Y.XmlElement("p")])), /a nested type is not plain text/],
  ["a nested text", ({ exported }) => typed(exported, ({ doc }) => doc.getMap("m").set("t", new Y.Text("x"))), /a nested type is not plain text/],
  ["a deleted type", ({ exported }) => typed(exported, ({ doc }) => {
    const map = doc.getMap("m");
    map.set("t", new Y.Text("inside"));
    map.delete("t");
  }), /garbage collected|value of a map key/],
  ["bold letters", ({ exported }) => typed(exported, ({ text }) => text.format(0, 4, { bold: true })), /formatting is not plain text/],
  ["letters typed bold", ({ exported }) => typed(exported, ({ text }) => text.insert(3, "b", { bold: true })), /formatting is not plain text/],
  ["a picture", ({ exported }) => typed(exported, ({ text }) => text.insertEmbed(2, { image: "x.png" })), /an embedded object is not plain text/],
  ["half a character deleted", ({ exported }) => typed(exported, ({ text }) => text.delete(text.toString().indexOf("🙂"), 1)), /surrogate pair/],
  ["letters within a character", ({ exported }) => typed(exported, ({ text }) => text.insert(text.toString().indexOf("🙂") + 1, "x")), /surrogate pair/],
  ["a text that is no field", ({ exported }) => typed(exported, ({ doc }) => doc.getText("Not a path!").insert(0, "x")), /"Not a path!" names no text/],
  ["a field that is no text", ({ exported }) => typed(exported, ({ doc }) => doc.getText("status").insert(0, "x")), /status: is of type string, not text/],
  ["the second encoding", ({ exported }) => Y.convertUpdateFormatV1ToV2(typed(exported, (editor) => editor.typeBehind("Hull", "2"))), /bad Yjs update/],
  ["an update that was cut off", ({ exported }) => typed(exported, (editor) => editor.typeBehind("Hull", "cut")).slice(0, -3), /bad Yjs update/],
  ["no bytes", () => new Uint8Array(), /bad Yjs update/],
  ["an Automerge document", ({ structure }) => structure, /bad Yjs update/],
];

function typed(exported, edit) {
  const editor = new Editor(exported);
  edit(editor);
  return editor.update();
}

/** What is refused is refused with a sentence, and nothing changes. */
export function refuse(book, counts) {
  const [document, other] = [create(book, "Refusals"), create(book, "Other")];
  book.write("ana", document.id, FIELD, BASE);
  book.write("ana", other.id, FIELD, "Other hull.");
  const made = {
    exported: book.image("ana", document, "yjs"),
    other: book.image("ana", other, "yjs"),
    structure: book.image("ana", document, "automerge"),
  };
  const digest = () => book.json("ana", "verify").digest;
  const before = digest();
  for (const [name, make, sentence] of REFUSED) {
    const { status, stdout, stderr } = book.run("ana", "text", document.id, FIELD, "--yjs-update", book.file(make(made)));
    holds(`${name} was taken in: ${stdout}`, status !== 0);
    holds(`${name}: no clear sentence: ${stderr}`, sentence.test(stderr) && !/panicked/.test(stderr));
    same(`${name}: the digest after the refusal`, digest(), before);
    counts.refused += 1;
  }
  same("the text after all refusals", book.text("ana", document.id, FIELD).text, BASE);
}
