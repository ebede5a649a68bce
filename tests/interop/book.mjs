// The `fieldbook` command, as a program calls it. Every device is a folder with its name.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class Book {
  constructor(binary, folder) {
    this.binary = binary;
    this.folder = folder;
    this.files = 0;
    mkdirSync(folder, { recursive: true });
  }

  /** Runs a command on a device: exit code and what was printed. */
  run(device, ...words) {
    const options = { cwd: this.folder, encoding: "utf8", maxBuffer: 1 << 30 };
    const { status, stdout, stderr, error } = spawnSync(this.binary, ["-C", device, ...words], options);
    if (error) throw error;
    return { status, stdout, stderr };
  }

  ok(device, ...words) {
    const { status, stdout, stderr } = this.run(device, ...words);
    if (status !== 0) throw new Error(`fieldbook -C ${device} ${words.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  json(device, ...words) {
    return JSON.parse(this.ok(device, ...words, "--json"));
  }

  /** Founds a workspace with these devices; the first is the founder. */
  found(devices) {
    const [founder, ...others] = devices;
    this.ok(founder, "init", "--name", founder, "--person", founder, "--partition", "office");
    this.ok(founder, "export", "--signed", "seed.fieldbook");
    for (const device of others) {
      const { key } = this.json(device, "join", "--name", device, "--bundle", "seed.fieldbook");
      this.ok(founder, "grant", key, "--person", device);
    }
    this.share(devices);
  }

  /** Brings everything to all of these devices, and has them come to one digest. */
  share(devices) {
    const [first, ...others] = devices;
    for (const device of others) this.ok(first, "merge", device);
    for (const device of others) this.ok(device, "merge", first);
    const digests = new Set(devices.map((device) => this.json(device, "verify").digest));
    if (digests.size !== 1) throw new Error(`the devices ${devices.join(", ")} do not agree after merging`);
  }

  /** Carries out an intent; gives the id of the document. */
  act(device, document, intent, what = {}) {
    return this.json(device, "do", document, intent, JSON.stringify(what)).document;
  }

  /** A text with its authors. */
  text(device, document, field) {
    return this.json(device, "text", document, field);
  }

  write(device, document, field, text) {
    this.ok(device, "text", document, field, "--set", text);
  }

  /** The bytes of one document's export as `automerge` or `yjs`. */
  image(device, { kind, id }, form) {
    const folder = join(this.folder, `${device}-${form}`);
    this.ok(device, "export", `--${form}`, folder, "--document", id);
    return readFileSync(join(folder, `${kind}-${id}.${form}`));
  }

  /** Writes a file for the command to read, and gives its path. */
  file(bytes) {
    this.files += 1;
    const path = join(this.folder, `file-${this.files}`);
    writeFileSync(path, bytes);
    return path;
  }
}
