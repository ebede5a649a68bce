// Reads the texts of a document's Yjs export and compares them with what the command says.

import * as Y from "yjs";
import { holds, same } from "./difference.mjs";

/** A Yjs document with this state. */
export function load(bytes) {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, bytes);
  return doc;
}

/** Every root text by name. Roots have no type before somebody asks for one. */
export function textsOf(doc) {
  return new Map([...doc.share.keys()].sort().map((name) => [name, doc.getText(name).toString()]));
}

/** Checks that an export is whole, and gives its texts. */
export function readTexts(where, bytes, counts) {
  const doc = load(bytes);
  const texts = textsOf(doc);
  holds(`${where}: the Yjs export waits for something else`, !doc.store.pendingStructs && !doc.store.pendingDs);
  const vector = Y.decodeStateVector(Y.encodeStateVector(doc));
  const ofUpdate = Y.decodeStateVector(Y.encodeStateVectorFromUpdate(bytes));
  same(`${where}: state vector`, Object.fromEntries(vector), Object.fromEntries(ofUpdate));
  let units = 0;
  for (const [client, clock] of vector) {
    holds(`${where}: client ${client} is no id`, Number.isSafeInteger(client) && client >= 0 && clock > 0);
    units += clock;
  }
  const length = [...texts.values()].reduce((sum, text) => sum + text.length, 0);
  holds(`${where}: ${length} units are shown, ${units} were ever written`, length <= units);
  same(`${where}: texts after encoding again`, textsOf(load(Y.encodeStateAsUpdate(doc))), texts);
  counts.texts += [...texts.values()].filter((text) => text !== "").length;
  return texts;
}

/**
 * Who wrote which stretch: neighbours of one Yjs client are one device's, and a client is one device throughout. `spans`
 * are what `fieldbook text` tells.
 */
export function compareAuthors(where, bytes, field, spans, counts) {
  const devices = spans.flatMap(({ text, device_key }) => text.split("").map(() => device_key));
  const clients = [];
  for (let item = load(bytes).getText(field)._start; item; item = item.right) {
    if (!item.deleted) clients.push(...item.content.getContent().map(() => item.id.client));
  }
  same(`${where}: units of ${field}`, clients.length, devices.length);
  const deviceOf = new Map();
  clients.forEach((client, unit) => {
    if (!deviceOf.has(client)) deviceOf.set(client, devices[unit]);
    same(`${where}: who wrote unit ${unit} of ${field}`, deviceOf.get(client), devices[unit]);
  });
  same(`${where}: authors of ${field}`, deviceOf.size, new Set(devices).size);
  counts.authors += deviceOf.size;
}
