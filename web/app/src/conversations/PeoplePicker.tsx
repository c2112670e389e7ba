import type { User } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useId, useState } from "react";
import { codeOf, explain } from "../errors";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { Avatar } from "../ui/Avatar";
import { field } from "../ui/button";
import { Icon } from "../ui/Icon";

interface PeoplePickerProps {
  label: string;
  hint?: string;
  chosen: readonly User[];
  onChange(chosen: readonly User[]): void;
  /** Choosing one is all there is to do. */
  single?: boolean;
  isExcluded?(user: User): boolean;
}

const none = () => false;

/** Finds people by the beginning of their e-mail address. The server tells of nobody otherwise. */
export function PeoplePicker({ label, hint, chosen, onChange, single = false, isExcluded = none }: PeoplePickerProps) {
  const client = useTertulia();
  const me = useMe();
  const { t } = useText();
  const id = useId();
  const [question, setQuestion] = useState("");
  const [found, setFound] = useState<readonly User[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    setFound(null);
    setProblem(null);
    const text = question.trim();
    if (text.length < 3) return;
    let over = false;
    const timer = setTimeout(() => {
      client.rest.searchUsers(text).then(
        (users) => !over && setFound(users),
        (error: unknown) => !over && setProblem(codeOf(error) === "unreachable" ? t("peopleOffline") : explain(error, t)),
      );
    }, 200);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [client, question, t]);

  const offered = found?.filter((user) => user.id !== me.id && !isExcluded(user) && !chosen.some((one) => one.id === user.id)) ?? null;
  function choose(user: User) {
    onChange(single ? [user] : [...chosen, user]);
    setQuestion("");
    document.getElementById(id)?.focus();
  }

  return (
    <div className="mb-4">
      <label htmlFor={id} className="mb-1.5 block text-sm font-medium">{label}</label>
      {chosen.length > 0 && (
        <ul className="mb-2 flex flex-wrap gap-1.5">
          {chosen.map((user) => (
            <li key={user.id} className="flex max-w-full items-center gap-2 rounded-full bg-selected py-1 ps-1 pe-1">
              <Avatar id={user.id} name={user.name} picture={user.avatarUrl} size="sm" />
              <span className="truncate text-sm"><bdi>{user.name}</bdi></span>
              <button type="button" className="grid size-6 shrink-0 place-items-center rounded-full hover:bg-hover" aria-label={t("removePerson", { name: user.name })} onClick={() => onChange(chosen.filter((one) => one !== user))}>
                <Icon name="close" size={14} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <input
        id={id}
        type="email"
        data-autofocus={single ? true : undefined}
        value={question}
        onChange={(event) => setQuestion(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          const exact = offered?.find((user) => user.email?.toLowerCase() === question.trim().toLowerCase()) ?? (offered?.length === 1 ? offered[0] : undefined);
          if (exact !== undefined) choose(exact);
        }}
        placeholder="ana@example.org"
        autoComplete="off"
        aria-describedby={`${id}-note`}
        className={field}
      />
      <div id={`${id}-note`} role="status" className="mt-1.5 text-sm text-soft">
        {problem ?? (offered !== null && offered.length === 0 ? t("nobodyFound") : (hint ?? ""))}
      </div>
      {offered !== null && offered.length > 0 && (
        <ul className="mt-1 max-h-56 overflow-y-auto rounded-xl border border-line p-1">
          {offered.map((user) => (
            <li key={user.id}>
              <button type="button" className="flex w-full items-center gap-3 rounded-lg px-2 py-1.5 text-start -outline-offset-2 hover:bg-hover" onClick={() => choose(user)}>
                <Avatar id={user.id} name={user.name} picture={user.avatarUrl} />
                <span className="min-w-0">
                  <span className="block truncate font-medium"><bdi>{user.name}</bdi></span>
                  <span className="block truncate text-sm text-soft">{user.email}</span>
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
