import { explain } from "../errors";
import type { Translate } from "../i18n/translate";

/** What is not the server's fault is the browser's: its push service can't be reached, or it has none. */
export function whyNotOn(error: unknown, t: Translate): string {
  return error instanceof Error && error.name === "TertuliaError" ? explain(error, t) : t("notifyNoService");
}
