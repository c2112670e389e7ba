import type { Tertulia } from "@tertulia/client";
import { createContext, useContext, type ReactNode } from "react";

const Context = createContext<Tertulia | null>(null);

/** Gives the client to everything below. The client is made (and closed) by the caller: it outlives any screen. */
export function TertuliaProvider({ client, children }: { client: Tertulia; children: ReactNode }) {
  return <Context value={client}>{children}</Context>;
}

/** The client: its commands are called, not subscribed to. */
export function useTertulia(): Tertulia {
  const client = useContext(Context);
  if (client === null) throw new Error("useTertulia: there is no <TertuliaProvider> above");
  return client;
}
