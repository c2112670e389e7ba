import type { QuietHours as Hours } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useCallback, useId, useState, type FormEvent } from "react";
import { useText } from "../../i18n/useText";
import { button, field } from "../../ui/button";
import { Icon } from "../../ui/Icon";
import { Switch } from "../../ui/Switch";
import { useAction } from "../../ui/useAction";
import { useAsked } from "../useAsked";
import { defaultHours, timeZones } from "./hours";

/** When nobody is to be disturbed, on all of one's devices. */
export function QuietHours() {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const { value: settings, problem, again } = useAsked(useCallback(() => client.rest.notificationSettings(), [client]));
  if (settings === undefined) return <p className="text-soft">{problem ?? t("loading")}</p>;
  const hours = settings.doNotDisturb;
  const change = (next: Hours | null, done?: string) => run(() => client.rest.setQuietHours(next), done).then(again);
  return (
    <div>
      <Switch checked={hours !== null} disabled={busy} onChange={(next) => change(next ? defaultHours() : null)} note={t("quietText")}>{t("quiet")}</Switch>
      {hours !== null && <Form key={JSON.stringify(hours)} hours={hours} busy={busy} onSave={(next) => void change(next, t("saved"))} />}
    </div>
  );
}

function Form({ hours, busy, onSave }: { hours: Hours; busy: boolean; onSave(hours: Hours): void }) {
  const { t } = useText();
  const id = useId();
  const [next, setNext] = useState(hours);
  const isChanged = JSON.stringify(next) !== JSON.stringify(hours);
  const isSound = next.from !== "" && next.to !== "" && next.from !== next.to;
  function submit(event: FormEvent) {
    event.preventDefault();
    onSave(next);
  }
  return (
    <form onSubmit={submit} className="mt-2 grid grid-cols-2 gap-3">
      {(["from", "to"] as const).map((end) => (
        <div key={end}>
          <label htmlFor={`${id}-${end}`} className="mb-1.5 block text-sm font-medium">{t(end === "from" ? "quietFrom" : "quietTo")}</label>
          <input id={`${id}-${end}`} type="time" required value={next[end]} onChange={(event) => setNext({ ...next, [end]: event.target.value })} className={field} />
        </div>
      ))}
      <div className="col-span-2">
        <label htmlFor={`${id}-zone`} className="mb-1.5 block text-sm font-medium">{t("quietZone")}</label>
        <div className="relative">
          <select id={`${id}-zone`} value={next.timeZone} onChange={(event) => setNext({ ...next, timeZone: event.target.value })} className={`${field} appearance-none pe-10`}>
            {timeZones(hours.timeZone).map((zone) => <option key={zone} value={zone}>{zone.replaceAll("_", " ")}</option>)}
          </select>
          <Icon name="chevron" size={18} className="pointer-events-none absolute end-3.5 top-3.5 text-soft" />
        </div>
      </div>
      {isChanged && <button type="submit" className={button("primary", "col-span-2 justify-self-start")} disabled={busy || !isSound}>{t("save")}</button>}
    </form>
  );
}
