import { memo } from "react";
import { piecesOf } from "./linkify";

/** What somebody wrote: text and links, never markup. Each link stands in a direction of its own, so nothing around can turn it. */
export const Body = memo(function Body({ text }: { text: string }) {
  return piecesOf(text).map((piece, at) =>
    "href" in piece ? (
      <bdi key={at} dir="ltr">
        <a href={piece.href} target="_blank" rel="noopener noreferrer nofollow ugc" className="break-all underline decoration-1 underline-offset-2 hover:decoration-2">
          {piece.text}
        </a>
      </bdi>
    ) : (
      piece.text
    ),
  );
});
