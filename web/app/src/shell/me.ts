import type { User } from "@tertulia/client";
import { createContext, useContext } from "react";

export const Me = createContext<User | null>(null);

/** Whose app this is. */
export function useMe(): User {
  const me = useContext(Me);
  if (me === null) throw new Error("useMe: nobody has signed in here");
  return me;
}
