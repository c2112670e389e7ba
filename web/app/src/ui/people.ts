/** One of eight colours, always the same for the same person. */
export function tintOf(id: string): number {
  let hash = 2166136261;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 16777619);
  return ((hash >>> 13) ^ hash) & 7;
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" });

function firstGrapheme(word: string): string {
  for (const { segment } of segmenter.segment(word)) return segment;
  return "";
}

/** One or two letters for a person or a group. */
export function initialsOf(name: string): string {
  let words = name.trim().split(/\s+/u).map((word) => word.replace(/^[^\p{L}\p{N}\p{Extended_Pictographic}]+/u, "")).filter((word) => word !== "");
  const lettered = words.filter((word) => /^[\p{L}\p{N}]/u.test(word));
  if (lettered.length > 0) words = lettered;
  const first = firstGrapheme(words[0] ?? "");
  const last = words.length > 1 ? firstGrapheme(words.at(-1) ?? "") : "";
  return /\p{Extended_Pictographic}/u.test(first) ? first : (first + last).toLocaleUpperCase();
}

/** The picture's address if the page may load it: the app asks no other host for anything. */
export function safePicture(url: string | null, origin: string): string | null {
  if (url === null || url === "") return null;
  if (/^data:image\/(png|jpeg|gif|webp|avif);base64,/u.test(url)) return url;
  try {
    const parsed = new URL(url, origin);
    return parsed.origin === origin && /^https?:$/u.test(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}
