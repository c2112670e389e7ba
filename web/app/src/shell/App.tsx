import { useAccount } from "@tertulia/react";
import { Landing } from "../sign-in/Landing";
import { Signed } from "./Signed";
import { Skeleton } from "./Skeleton";
import { Toasts } from "./Toasts";

/** Who has signed in on this device decides what there is; until that is known, neither is shown. */
export function App() {
  const account = useAccount();
  return (
    <>
      {account === undefined ? <Skeleton /> : account === null ? <Landing /> : <Signed key={account.id} me={account} />}
      <Toasts />
    </>
  );
}
