import type { Limits } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useState } from "react";

export function useLimits(): Limits | null {
  const client = useTertulia();
  const [limits, setLimits] = useState<Limits | null>(null);
  useEffect(() => {
    let over = false;
    client.limits().then((known) => !over && setLimits(known), () => {});
    return () => {
      over = true;
    };
  }, [client]);
  return limits;
}
