// Everything in its order; ends with a table of what was compared, or with the first difference and exit code 1.
//
//     node interop.mjs BINARY

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { Book } from "./book.mjs";
import { Difference, holds, same } from "./difference.mjs";
import { bringBack, refuse } from "./editors.mjs";
import { noticesChanges } from "./sabotage.mjs";
import { DEVICES, importReal, write } from "./story.mjs";
import { compareStructure } from "./structures.mjs";
import { compareAuthors, readTexts } from "./texts.mjs";

function byDocument(list) {
  const groups = new Map();
  for (const one of list) groups.set(one.document, [...(groups.get(one.document) ?? []), one]);
  return groups;
}

/** Compares every document of a device with its exports, and the sample once more with changes made on purpose. */
function compareAll(book, device, story, sample, counts) {
  const folder = join(book.folder, "images");
  book.ok(device, "export", "--state", "state.json", "--automerge", folder, "--yjs", folder);
  const states = JSON.parse(readFileSync(join(book.folder, "state.json"), "utf8"));
  const conflicts = byDocument(book.json(device, "conflicts"));
  const logs = byDocument(book.json(device, "log"));
  const ofStory = new Set(story.map(({ id }) => id));
  for (const exported of states) {
    const { kind, id } = exported;
    let said = exported;
    if (ofStory.delete(id)) {
      same(`${kind} ${id}: what show and export say`, book.json(device, "show", id), exported);
      said = book.json(device, "show", id, "--removed");
    }
    const image = (form) => readFileSync(join(folder, `${kind}-${id}.${form}`));
    const texts = readTexts(`${kind} ${id}`, image("yjs"), counts);
    const given = { automerge: image("automerge"), said, conflicts: conflicts.get(id) ?? [], log: logs.get(id), texts };
    compareStructure(given.automerge, said, given.conflicts, given.log, texts, counts);
    if (said === exported) continue;
    for (const field of texts.keys()) {
      const { spans } = book.text(device, id, field);
      compareAuthors(`${kind} ${id}`, image("yjs"), field, spans, counts);
      if (id === sample) counts.noticed = noticesChanges({ ...given, yjs: image("yjs"), spans });
    }
  }
  same("documents that were not exported", [...ofStory], []);
}

function print(rows) {
  const numbers = rows.map(([, number]) => number.toLocaleString("en-US"));
  const width = Math.max(...rows.map(([name]) => name.length));
  const digits = Math.max(...numbers.map((number) => number.length));
  console.log(`  ${"─".repeat(width + digits + 2)}`);
  rows.forEach(([name], n) => console.log(`  ${name.padEnd(width)}  ${numbers[n].padStart(digits)}`));
  console.log(`  ${"─".repeat(width + digits + 2)}`);
}

function main(binary) {
  const begun = Date.now();
  const counts = {
    documents: 0,
    changes: 0,
    values: 0,
    counters: 0,
    conflicts: 0,
    removed: 0,
    texts: 0,
    authors: 0,
    back: 0,
    refused: 0,
    noticed: 0,
  };
  const work = mkdtempSync(join(tmpdir(), "interop-"));
  try {
    const book = new Book(binary, work);
    book.found(DEVICES);
    const story = write(book);
    bringBack(book, counts);
    refuse(book, counts);
    book.share(DEVICES);
    const real = importReal(book, process.env.FIELDBOOK_DATA);
    compareAll(book, "chloe", story.documents, story.sample.id, counts);
    for (const [what, number] of Object.entries(counts)) holds(`nothing was compared under "${what}"`, number > 0);
    console.log(real ? "on the story and the real data" : "on the story; FIELDBOOK_DATA is not set, so no real data");
    print([
      ["intents carried out", story.intents],
      ["documents read by Automerge", counts.documents],
      ["changes decoded and applied again", counts.changes],
      ["values equal", counts.values],
      ["counters equal", counts.counters],
      ["conflicts with who said what", counts.conflicts],
      ["removed entries", counts.removed],
      ["texts read by Yjs", counts.texts],
      ["authors of stretches", counts.authors],
      ["edits back, merged as Yjs merges", counts.back],
      ["changes on purpose, all noticed", counts.noticed],
      ["updates refused with a sentence", counts.refused],
    ]);
    console.log(`  all equal, in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  } catch (error) {
    if (!(error instanceof Difference)) throw error;
    console.error(`different: ${error.message}`);
    process.exitCode = 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

main(process.argv[2]);
