import { useCallback, useState } from "react";
import { explain } from "../errors";
import { useText } from "../i18n/useText";
import { toast } from "../shell/toasts";

/** Runs what may be refused: says why in a toast, and is busy meanwhile. Resolves to whether it was done. */
export function useAction(): { busy: boolean; run(action: () => Promise<unknown>, done?: string): Promise<boolean> } {
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const run = useCallback(
    async (action: () => Promise<unknown>, done?: string) => {
      setBusy(true);
      try {
        await action();
        if (done !== undefined) toast(done);
        return true;
      } catch (error) {
        toast(explain(error, t), "problem");
        return false;
      } finally {
        setBusy(false);
      }
    },
    [t],
  );
  return { busy, run };
}
