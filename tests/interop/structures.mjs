// Reads a document's Automerge export and compares it with what the command says of the document.

import * as A from "@automerge/automerge";
import { holds, plain, same } from "./difference.mjs";

/** Automerge's values as the command writes them in JSON. */
function readable(value) {
  if (A.isCounter(value)) return value.value;
  if (A.isImmutableString(value)) return value.toString();
  if (value instanceof Date) return value.getTime();
  // The largest integers come so; JSON.parse has numbers alone.
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return value;
}

/** What the command says of a value, in the words of Automerge's image: see "How a value stands in Automerge" in the spec. */
function expected(said, read) {
  if (read instanceof Date && typeof said === "string") return Date.parse(said);
  if (said === null || typeof said !== "object") return said;
  if ("media_type" in said) return `blake3:${said.hash};length=${said.length};type=${said.media_type}`;
  return `${said.partition}/${said.kind}/${said.id}`;
}

/** The nested state as a flat map: path to value, and which entries exist or are removed. */
function flat(state, paths) {
  const leaves = new Map();
  const removed = new Set();
  const objects = new Set();
  const visit = (value, path) => {
    const isLeaf = value === null || typeof value !== "object" || (paths.has(path) && !("@value" in value));
    if (isLeaf) {
      leaves.set(path, value);
      return;
    }
    objects.add(path);
    for (const [name, inner] of Object.entries(value)) {
      if (name === "@removed") removed.add(path);
      else if (name === "@value") leaves.set(path, inner);
      else visit(inner, path ? `${path}/${name}` : name);
    }
  };
  visit(state, "");
  return { leaves, removed, objects };
}

/** Every visible value of a path with who put it, as `actor value`. */
const voices = (list) => list.map(([actor, value]) => `${actor} ${JSON.stringify(value)}`).sort();

/**
 * Compares one document. `said` is its state with what was removed, `conflicts` and `log` are of this document alone, and
 * `texts` are its texts by path. Counts into `counts`.
 */
export function compareStructure(bytes, said, conflicts, log, texts, counts) {
  const where = `${said.kind} ${said.id}`;
  const doc = A.load(bytes);
  const paths = new Set(Object.keys(doc));
  same(`${where}: heads`, A.getHeads(doc).sort(), said.automerge_heads);
  same(`${where}: has nothing that waits for something else`, A.getMissingDeps(doc, []), []);

  const { leaves, removed, objects } = flat(said.state, paths);
  const disagreements = new Map(conflicts.filter(({ rule }) => rule !== "removed_while_edited").map((c) => [c.path, c]));
  const actors = new Map(log.map((entry) => [entry.change_set, entry.actor]));
  for (const path of paths) {
    const at = `${where}: ${path}`;
    const all = Object.entries(A.getConflicts(doc, path) ?? {});
    counts.values += 1;
    if (path.endsWith("/.")) {
      const entry = path.slice(0, -2);
      holds(`${at}: the entry is there in JavaScript, not in Fieldbook`, objects.has(entry) && !removed.has(entry));
      same(at, readable(doc[path]), true);
      continue;
    }
    holds(`${at}: only in JavaScript`, leaves.has(path));
    const shown = expected(leaves.get(path), doc[path]);
    leaves.delete(path);
    if (A.isCounter(doc[path])) counts.counters += 1;
    if (all.length < 2) {
      same(at, readable(doc[path]), shown);
      holds(`${at}: a conflict only in Fieldbook`, !disagreements.has(path));
      continue;
    }
    compareVoices(at, all, shown, disagreements.get(path), actors);
    counts.conflicts += disagreements.has(path) ? 1 : 0;
    disagreements.delete(path);
  }
  same(`${where}: conflicts only in Fieldbook`, [...disagreements.keys()], []);
  for (const conflict of conflicts.filter(({ rule }) => rule === "removed_while_edited")) {
    compareRemoval(where, doc, conflict);
    counts.conflicts += 1;
  }
  for (const [path, value] of leaves) {
    same(`${where}: ${path}, a text or a value`, texts.get(path), value);
  }
  const above = (path) => path.slice(0, Math.max(path.lastIndexOf("/"), 0));
  const collections = new Set([...paths].filter((path) => path.endsWith("/.")).map((path) => above(path.slice(0, -2))));
  for (const entry of objects) {
    const isEntry = collections.has(above(entry)) && !removed.has(entry);
    holds(`${where}: ${entry} is there in Fieldbook, not in JavaScript`, !isEntry || paths.has(`${entry}/.`));
  }
  for (const entry of removed) {
    holds(`${where}: ${entry} is removed and has a marker`, !paths.has(`${entry}/.`));
    counts.removed += 1;
  }
  counts.changes += compareHistory(where, doc, log, texts);
  counts.documents += 1;
}

/** Several concurrent values: who said what; which is shown, Automerge and Fieldbook decide by rules of their own. */
function compareVoices(at, all, shown, conflict, actors) {
  const read = all.map(([op, value]) => [op.split("@")[1], readable(value)]);
  if (all.every(([, value]) => A.isCounter(value))) {
    same(`${at}: the sum`, read.reduce((sum, [, value]) => sum + value, 0), shown);
  } else {
    holds(`${at}: what Fieldbook shows is none of the values`, read.some(([, value]) => value === shown));
  }
  if (!conflict) {
    // People who said the same do not disagree.
    same(`${at}: values of people who agree`, [...new Set(read.map(([, value]) => value))], [shown]);
    return;
  }
  const said = conflict.contenders.map(({ change_set, value }) => [actors.get(change_set), expected(value, all[0][1])]);
  same(`${at}: who said what`, voices(read), voices(said));
}

/** An entry removed here and edited there: its marker is gone, and every edit can still be read, by its author. */
function compareRemoval(where, doc, { path: marker, contenders }) {
  const at = `${where}: ${marker}, removed here and edited there`;
  const entry = marker.slice(0, -1);
  holds(`${at}: the marker is there`, !(marker in doc));
  const kept = Object.keys(doc).filter((path) => path.startsWith(entry));
  // Automerge tells who put a value only where there are several.
  const values = kept.flatMap((path) => Object.values(A.getConflicts(doc, path) ?? { only: doc[path] })).map(readable);
  const edits = contenders.filter(({ value }) => value !== null);
  holds(`${at}: no edit`, edits.length > 0);
  for (const { value } of edits) {
    holds(`${at}: the edit ${plain(value)} is not in JavaScript`, values.includes(expected(value)));
  }
}

/** The history: as many changes as there are change sets with structure, and they make the same document again. */
function compareHistory(where, doc, log, texts) {
  const changes = A.getAllChanges(doc);
  const isText = (path) => texts.has(path);
  const counted = log.filter((entry) => entry.standing === "counts" && !entry.does_not_count);
  same(`${where}: ops that did nothing`, counted.flatMap((entry) => entry.inert), []);
  const structural = counted.filter(({ paths }) => !paths.every(isText));
  same(`${where}: number of changes`, changes.length, structural.length);

  const decoded = changes.map((change) => A.decodeChange(change));
  const tally = (list) => plainTally(list);
  same(`${where}: changes of each author`, tally(decoded.map((change) => change.actor)), tally(structural.map((entry) => entry.actor)));
  for (const change of decoded) {
    holds(`${where}: ${change.hash} has a time or a message`, change.time === 0 && !change.message);
    holds(`${where}: ${change.hash} edits more than the root`, change.ops.every((op) => op.obj === "_root" && op.key));
  }
  const named = new Set(decoded.flatMap((change) => change.ops.map((op) => op.key)));
  const scripted = new Set(structural.flatMap((entry) => entry.paths.filter((path) => !isText(path))));
  same(`${where}: paths of the history`, [...named].sort(), [...scripted].sort());

  const [again] = A.applyChanges(A.init(), changes);
  same(`${where}: heads of the history applied again`, A.getHeads(again), A.getHeads(doc));
  const saved = A.load(A.save(doc));
  same(`${where}: heads after save and load`, A.getHeads(saved), A.getHeads(doc));
  holds(`${where}: another document after save and load`, A.equals(saved, doc) && A.equals(again, doc));
  return changes.length;
}

function plainTally(list) {
  const tally = {};
  for (const one of list) tally[one] = (tally[one] ?? 0) + 1;
  return tally;
}
