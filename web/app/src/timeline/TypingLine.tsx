import { useTyping } from "@tertulia/react";
import { useText } from "../i18n/useText";

export function TypingLine({ id }: { id: string }) {
  const typists = useTyping(id);
  const { t } = useText();
  const [one, two] = typists;
  const text =
    one === undefined ? "" : two === undefined ? t("typingOne", { name: one.name }) : typists.length === 2 ? t("typingTwo", { name: one.name, other: two.name }) : t("typingMany", { count: typists.length });
  return (
    <div className={`mx-auto flex w-full max-w-4xl items-center gap-2 overflow-hidden px-5 text-sm text-soft transition-[height] sm:px-7 ${text === "" ? "h-0" : "h-6"}`}>
      {text !== "" && (
        <>
          <span aria-hidden="true" className="flex gap-1">
            {["", "[animation-delay:150ms]", "[animation-delay:300ms]"].map((delay) => <span key={delay} className={`animate-dot size-1.5 rounded-full bg-current ${delay}`} />)}
          </span>
          <span className="truncate"><bdi>{text}</bdi></span>
        </>
      )}
    </div>
  );
}
