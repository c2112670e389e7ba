import { createRequire } from "node:module";
import type { Plugin } from "vite";

interface Compact {
  label: string;
  unicode: string;
  group?: number;
  order?: number;
  tags?: string[];
}

const PREFIX = "virtual:emoji/";
/** Emojibase's group of skin tones and hair, which are no emoji by themselves. */
const COMPONENTS = 2;

/** `virtual:emoji/en`: the emoji of emojibase by group, with the words they are found by and nothing else: a sixth of the original. */
export function emoji(): Plugin {
  const require = createRequire(import.meta.url);
  return {
    name: "emoji",
    resolveId: (id) => (id.startsWith(PREFIX) ? `\0${id}` : null),
    load(id) {
      if (!id.startsWith(`\0${PREFIX}`)) return null;
      const all = require(`emojibase-data/${id.slice(PREFIX.length + 1)}/compact.json`) as Compact[];
      const groups: [string, string][][] = [];
      for (const { group, unicode, label, tags } of [...all].sort((a, b) => (a.order ?? 0) - (b.order ?? 0))) {
        if (group === undefined || group === COMPONENTS) continue;
        (groups[group] ??= []).push([unicode, [label, ...(tags ?? [])].join(" ")]);
      }
      const text = JSON.stringify(JSON.stringify(groups));
      return `export default JSON.parse(${text});`;
    },
  };
}
