import { useConnection } from "@tertulia/react";
import { useCallback, useEffect, useState } from "react";
import { explain } from "../errors";
import { useText } from "../i18n/useText";

/** What only the server knows: asked when shown, and again when the connection comes back. */
export function useAsked<T>(ask: () => Promise<T>): { value: T | undefined; problem: string | null; again(): Promise<void> } {
  const { t } = useText();
  const [value, setValue] = useState<T>();
  const [problem, setProblem] = useState<string | null>(null);
  const isConnected = useConnection()?.state === "connected";
  const again = useCallback(async () => {
    return ask().then(
      (answer) => {
        setValue(answer);
        setProblem(null);
      },
      (error: unknown) => setProblem(explain(error, t)),
    );
  }, [ask, t]);
  useEffect(() => void again(), [again, isConnected]);
  return { value, problem: value === undefined ? problem : null, again };
}
