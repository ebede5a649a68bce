// The comparison is worth what it notices: what was equal is changed in one place, and must then be told from the rest.

import { Difference, holds } from "./difference.mjs";
import { compareAuthors, readTexts } from "./texts.mjs";
import { compareStructure } from "./structures.mjs";

/** What is changed of what the command says; each gives nothing, and edits a copy. */
const CHANGES = {
  "a value": ({ said }) => { said.state.subject.name += " "; },
  "a lost value": ({ said }) => { delete said.state.subject.name; },
  "a value that nobody wrote": ({ said }) => { said.state.subject.colour = "red"; },
  "a moment by one millisecond": ({ said }) => { said.state.scheduled_at = new Date(Date.parse(said.state.scheduled_at) + 1).toISOString(); },
  "an attachment's length": ({ said }) => { Object.values(Object.values(said.state.items).find((item) => item.attachments).attachments)[0].length += 7; },
  "a removed entry": ({ said }) => { delete Object.values(said.state.items).find((item) => item["@removed"])["@removed"]; },
  "a text": ({ said, texts }) => { said.state.findings = `${texts.get("findings") ?? ""}x`; },
  "a head": ({ said }) => { said.automerge_heads[0] = said.automerge_heads[0].replace(/./, (digit) => (digit === "0" ? "1" : "0")); },
  "a lost conflict": ({ conflicts }) => { conflicts.shift(); },
  "a contender's value": ({ conflicts }) => { conflicts.find(({ rule }) => rule === "last_writer").contenders[0].value = "x"; },
  "a lost contender": ({ conflicts }) => { conflicts.find(({ rule }) => rule === "last_writer").contenders.pop(); },
  "who said what": ({ conflicts }) => {
    const { contenders } = conflicts.find(({ rule, contenders: all }) => rule === "last_writer" && all[0].value !== all[1].value);
    [contenders[0].change_set, contenders[1].change_set] = [contenders[1].change_set, contenders[0].change_set];
  },
  "a lost change set": ({ log }) => { log.splice(log.findIndex(({ intent }) => intent === "assign"), 1); },
  "a change set's author": ({ log }) => { log.find(({ intent }) => intent === "assign").actor = log.at(-1).actor.split("").reverse().join(""); },
};

/** Each change makes the comparison of one document fail; gives how many there are. `given` is what compares as equal. */
export function noticesChanges(given) {
  const compare = ({ said, conflicts, log, texts }) => {
    const counts = {};
    compareStructure(given.automerge, said, conflicts, log, texts, counts);
  };
  compare(given);
  for (const [name, change] of Object.entries(CHANGES)) {
    const copy = structuredClone({ ...given, automerge: undefined, yjs: undefined });
    change(copy);
    fails(name, () => compare(copy));
  }
  const [field] = given.texts.keys();
  const spans = structuredClone(given.spans);
  spans[0].device_key = spans.find(({ device_key }) => device_key !== spans[0].device_key).device_key;
  fails("who wrote a stretch", () => compareAuthors("changed", given.yjs, field, spans, {}));
  fails("a text cut off", () => readTexts("changed", given.yjs.subarray(0, -1), {}));
  return Object.keys(CHANGES).length + 2;
}

function fails(name, compare) {
  let error;
  try {
    compare();
  } catch (thrown) {
    error = thrown;
  }
  holds(`the comparison does not notice ${name} that was changed on purpose`, error);
  // What cannot be read at all is an error of the package's own.
  if (!(error instanceof Difference) && name !== "a text cut off") throw error;
}
