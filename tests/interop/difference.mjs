// Where two things differ, said exactly.

/** Something that should be equal is not. */
export class Difference extends Error {}

/** A value on one line, the same whatever the order of keys. */
export function plain(value) {
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? String(value);
  if (Array.isArray(value)) return `[${value.map(plain).join(", ")}]`;
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}: ${plain(value[key])}`).join(", ")}}`;
}

/** Demands that what JavaScript read is what the command says. */
export function same(where, read, said) {
  if (plain(read) !== plain(said)) {
    throw new Difference(`${where}\n  in JavaScript  ${plain(read)}\n  in Fieldbook   ${plain(said)}`);
  }
}

export function holds(where, what) {
  if (!what) throw new Difference(where);
}
