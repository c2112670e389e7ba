import type { Key } from "./i18n/en";
import type { Translate } from "./i18n/translate";

const keys: Record<string, Key> = {
  unreachable: "errorUnreachable",
  unauthenticated: "errorUnauthenticated",
  forbidden: "errorForbidden",
  not_found: "errorNotFound",
  invalid: "errorInvalid",
  too_large: "errorTooLarge",
  rate_limited: "errorRateLimited",
  conflict: "errorConflict",
  out_of_order: "errorUnavailable",
  gone: "errorGone",
  unavailable: "errorUnavailable",
  store: "errorStore",
  closed: "errorClosed",
};

/** What a stable code means to a person, and what to do. */
export function reasonOf(code: string, t: Translate): string {
  return t(keys[code] ?? "errorOther");
}

export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "unknown";
}

export function explain(error: unknown, t: Translate): string {
  return reasonOf(codeOf(error), t);
}
