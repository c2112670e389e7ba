// Puts a Brotli file beside each file of the app that gets smaller by it: the server sends those as they are.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const folder = new URL("../dist/", import.meta.url).pathname;
const packed = /\.(html|js|css|wasm|svg|json|webmanifest|txt)$/;
const quality = Number(process.argv[2] ?? 11);

let [raw, sent] = [0, 0];
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !packed.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = readFileSync(path);
  const small = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } });
  if (small.length >= bytes.length) continue;
  writeFileSync(`${path}.br`, small);
  [raw, sent] = [raw + bytes.length, sent + small.length];
}
console.log(`dist: ${Math.round(raw / 1024)} KB, ${Math.round(sent / 1024)} KB with brotli`);
