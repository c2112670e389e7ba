import type { Status } from "@tertulia/client";
import { useText } from "../i18n/useText";
import { Icon } from "./Icon";

const words = {
  pending: "statusPending",
  sent: "statusSent",
  delivered: "statusDelivered",
  read: "statusRead",
  failed: "statusFailed",
} as const;

const ONE = "M1.2 6.8L4.2 9.8L10.8 2.5";
const TWO = "M1.2 6.8L4.2 9.8L10.8 2.5M8.7 9.3L9.2 9.8L15.8 2.5";

/** How far a message of mine has come: a clock, one tick, two, two in the colour of read, or that it has not gone. */
export function Ticks({ status }: { status: Status }) {
  const { t } = useText();
  const label = t(words[status.state]);
  const box = (className: string, inside: React.ReactNode) => (
    <span role="img" aria-label={label} title={label} data-status={status.state} className={`inline-flex ${className}`}>
      {inside}
    </span>
  );
  if (status.state === "pending") return box("text-faint", <Icon name="clock" size={14} />);
  if (status.state === "failed") return box("text-danger", <Icon name="warning" size={14} />);
  return box(
    status.state === "read" ? "text-read" : "text-faint",
    <svg width={status.state === "sent" ? 12 : 17} height="12" viewBox={status.state === "sent" ? "0 0 12 12" : "0 0 17 12"} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={status.state === "sent" ? ONE : TWO} />
    </svg>,
  );
}
