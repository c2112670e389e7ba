/** A body in pieces: text, and links with the address they lead to. */
export type Piece = { text: string } | { text: string; href: string };

/** Characters that turn the direction of what follows; a link ends before them. */
const BIDI = "\\u061C\\u200E\\u200F\\u202A-\\u202E\\u2066-\\u2069";
const LINK = new RegExp(`(?:https?://|mailto:|www\\.)[^\\s<>"\`\\u0000-\\u001F\\u007F${BIDI}]+|[\\w.+-]+@[\\w-]+(?:\\.[\\w-]+)+`, "giu");
const PAIRS: Record<string, string> = { ")": "(", "]": "[", "}": "{" };

/** Where the sentence goes on: closing marks that belong to it and not to the address. */
function trimmed(found: string): string {
  let end = found.length;
  for (;;) {
    const mark = found[end - 1] ?? "";
    const opening = PAIRS[mark];
    const inside = found.slice(0, end);
    if (opening !== undefined ? count(inside, mark) > count(inside, opening) : /[.,;:!?'’”»*_~…]/u.test(mark)) end--;
    else return inside;
  }
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}

/** The link of an address as written, or null where it is better left as text. What is shown names the host it leads to. */
function link(written: string): { text: string; href: string } | null {
  const isWeb = /^https?:/iu.test(written);
  const isMail = !isWeb && !/^www\./iu.test(written);
  const address = isWeb || /^mailto:/iu.test(written) ? written : isMail ? `mailto:${written}` : `https://${written}`;
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol === "mailto:") return url.pathname.includes("@") ? { text: written, href: url.href } : null;
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  // A name before the host looks like a host; who needs it can copy the text.
  if (url.username !== "" || url.password !== "" || !/[.:]/u.test(url.host) && url.hostname !== "localhost") return null;
  const shown = /^(?:https?:\/\/)?([^/\\?#]*)/iu.exec(written);
  const isHonest = shown?.[1]?.toLowerCase() === url.host || shown?.[1]?.toLowerCase() === `${url.host}:${url.protocol === "https:" ? 443 : 80}`;
  return { text: isHonest ? written : url.href, href: url.href };
}

export function piecesOf(body: string): Piece[] {
  const pieces: Piece[] = [];
  let text = "";
  let end = 0;
  for (const match of body.matchAll(LINK)) {
    const written = trimmed(match[0]);
    const before = body[match.index - 1] ?? "";
    const piece = /[\w@]/u.test(before) ? null : link(written);
    if (piece === null) continue;
    text += body.slice(end, match.index);
    if (text !== "") pieces.push({ text });
    pieces.push(piece);
    text = "";
    end = match.index + written.length;
  }
  text += body.slice(end);
  if (text !== "") pieces.push({ text });
  return pieces;
}
