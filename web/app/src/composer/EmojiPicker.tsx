import { useEffect, useMemo, useState, type KeyboardEvent } from "react";
import type { Key } from "../i18n/en";
import { useText } from "../i18n/useText";
import { preferences, setPreferences } from "../shell/preferences";
import { Icon } from "../ui/Icon";
import { useIsTouch } from "../ui/useMedia";
import { emojiOf, searchEmoji, withRecent, type Emoji, type Groups } from "./emoji";

const COLUMNS = 8;
const groupKeys: Record<number, Key> = {
  0: "emojiGroup0", 1: "emojiGroup1", 3: "emojiGroup3", 4: "emojiGroup4", 5: "emojiGroup5", 6: "emojiGroup6", 7: "emojiGroup7", 8: "emojiGroup8", 9: "emojiGroup9",
};
const faces: Record<number, string> = { 0: "😀", 1: "👋", 3: "🐻", 4: "🍎", 5: "✈️", 6: "⚽", 7: "💡", 8: "❤️", 9: "🏳️" };
const RECENT = -1;

/** By group or by word; arrows move in the grid. Comes with its data when it is first opened. */
export default function EmojiPicker({ onPick }: { onPick(emoji: string): void }) {
  const { t, language } = useText();
  const isTouch = useIsTouch();
  const [groups, setGroups] = useState<Groups | null>(null);
  const [question, setQuestion] = useState("");
  const [recent] = useState(() => preferences().recentEmoji);
  const [group, setGroup] = useState(recent.length > 0 ? RECENT : 0);

  useEffect(() => {
    let over = false;
    emojiOf(language).then((all) => !over && setGroups(all), () => {});
    return () => {
      over = true;
    };
  }, [language]);

  const shown = useMemo<readonly Emoji[]>(() => {
    if (groups === null) return [];
    if (question.trim() !== "") return searchEmoji(groups, question);
    if (group === RECENT) return recent.map((emoji) => ({ emoji, words: emoji }));
    return (groups[group] ?? []).map(([emoji, words]) => ({ emoji, words }));
  }, [groups, question, group, recent]);

  function pick(emoji: string) {
    setPreferences({ recentEmoji: withRecent(preferences().recentEmoji, emoji) });
    onPick(emoji);
  }

  const tabs = [...(recent.length > 0 ? [RECENT] : []), ...Object.keys(groupKeys).map(Number)];
  const title = question.trim() !== "" ? t("search") : group === RECENT ? t("emojiRecent") : t(groupKeys[group]!);
  return (
    <div>
      <div className="relative mb-2">
        <Icon name="search" size={16} className="pointer-events-none absolute start-3 top-3 text-faint" />
        <input
          type="search"
          dir="auto"
          autoFocus={!isTouch}
          value={question}
          onChange={(event) => setQuestion(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && shown[0] !== undefined) pick(shown[0].emoji);
            if (event.key === "ArrowDown") {
              event.preventDefault();
              document.querySelector<HTMLElement>("[data-emoji]")?.focus();
            }
          }}
          placeholder={t("emojiSearch")}
          aria-label={t("emojiSearch")}
          autoComplete="off"
          className="min-h-10 w-full rounded-xl bg-sunken ps-9 pe-3 placeholder:text-faint [&::-webkit-search-cancel-button]:hidden"
        />
      </div>
      <div role="group" aria-label={t("emoji")} className="mb-1 flex justify-between">
        {tabs.map((one) => {
          const label = one === RECENT ? t("emojiRecent") : t(groupKeys[one]!);
          return (
            <button
              key={one}
              type="button"
              aria-label={label}
              title={label}
              aria-pressed={group === one && question === ""}
              onClick={() => {
                setGroup(one);
                setQuestion("");
              }}
              className="grid size-8 place-items-center rounded-lg text-base text-soft grayscale hover:bg-hover aria-pressed:bg-selected aria-pressed:grayscale-0"
            >
              {one === RECENT ? <Icon name="clock" size={17} /> : faces[one]}
            </button>
          );
        })}
      </div>
      <p className="px-1 pb-1 text-xs font-semibold text-soft">{title}</p>
      <div className="h-60 overflow-y-auto overscroll-contain" aria-busy={groups === null}>
        {groups !== null && shown.length === 0 ? (
          <p className="py-8 text-center text-soft">{t("emojiNone")}</p>
        ) : (
          <Grid key={`${group} ${question}`} shown={shown} onPick={pick} />
        )}
      </div>
    </div>
  );
}

function Grid({ shown, onPick }: { shown: readonly Emoji[]; onPick(emoji: string): void }) {
  const [active, setActive] = useState(0);
  function onKeyDown(event: KeyboardEvent<HTMLElement>) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const turned = Math.abs(step) === 1 && getComputedStyle(event.currentTarget).direction === "rtl" ? -step : step;
    const next = Math.max(0, Math.min(shown.length - 1, active + turned));
    setActive(next);
    event.currentTarget.querySelectorAll<HTMLElement>("[data-emoji]")[next]?.focus();
  }
  return (
    <div className="grid grid-cols-8" onKeyDown={onKeyDown}>
      {shown.map(({ emoji, words }, at) => (
        <button
          key={emoji}
          type="button"
          data-emoji
          tabIndex={at === active ? 0 : -1}
          onFocus={() => setActive(at)}
          onClick={() => onPick(emoji)}
          aria-label={words}
          className="grid aspect-square place-items-center rounded-xl text-[1.375rem] -outline-offset-2 [content-visibility:auto] hover:bg-hover"
        >
          {emoji}
        </button>
      ))}
    </div>
  );
}
