import type { DeviceTest, NotifiedDevice, TestOutcome } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useCallback, useEffect, useState } from "react";
import type { Key } from "../../i18n/en";
import { useText } from "../../i18n/useText";
import { removeDevice, useNotifying } from "../../notify/device";
import { button, iconButton } from "../../ui/button";
import { Icon } from "../../ui/Icon";
import { useAction } from "../../ui/useAction";
import { useNow } from "../../ui/useNow";
import { nameOfAgent } from "../agent";
import { useAsked } from "../useAsked";

/** Where the person is notified, and whether that works. */
export function NotifiedDevices() {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const { device } = useNotifying();
  const [results, setResults] = useState<readonly DeviceTest[]>([]);
  const { value: devices, problem, again } = useAsked(useCallback(() => client.rest.devices(), [client]));
  const here = device === null ? null : `${device.id} ${device.showsContent}`;
  useEffect(() => {
    void again();
    setResults([]);
  }, [again, here]);
  const test = () => void run(async () => setResults(await client.rest.testDevices())).then(again);
  return (
    <div>
      <h3 className="font-medium">{t("notifyDevices")}</h3>
      {devices === undefined ? (
        <p className="text-soft">{problem ?? t("loading")}</p>
      ) : devices.length === 0 ? (
        <p className="text-soft">{t("notifyNoDevices")}</p>
      ) : (
        <>
          <ul className="divide-y divide-line" aria-live="polite">
            {devices.map((one) => (
              <Line
                key={one.id}
                device={one}
                isThis={one.id === device?.id}
                result={results.find((result) => result.id === one.id)}
                busy={busy}
                onRemove={() => void run(() => removeDevice(client, one.id), t("notifyRemoved")).then(again)}
              />
            ))}
          </ul>
          <button type="button" className={button("secondary", "mt-3 max-w-full")} disabled={busy} onClick={test}>
            <Icon name="bell" size={18} />
            {t("notifyTest")}
          </button>
        </>
      )}
    </div>
  );
}

const outcomes: Record<TestOutcome, Key> = {
  accepted: "notifyTestAccepted",
  failed: "notifyTestFailed",
  refused: "notifyTestRefused",
  unregistered: "notifyTestUnregistered",
};

interface LineProps {
  device: NotifiedDevice;
  isThis: boolean;
  result: DeviceTest | undefined;
  busy: boolean;
  onRemove(): void;
}

function Line({ device, isThis, result, busy, onRemove }: LineProps) {
  const { t, format } = useText();
  const now = useNow();
  const name = nameOfAgent(device.userAgent) ?? t("unknownDevice");
  return (
    <li className="flex items-start gap-3 py-2.5">
      <Icon name="device" className="mt-0.5 text-soft" />
      <span className="min-w-0 flex-1">
        <span className="block truncate font-medium">{name}</span>
        <span className="block text-sm text-soft">
          {isThis ? <span className="font-medium text-accent">{t("thisDevice")}</span> : t("notifyRegistered", { when: format.ago(device.registeredAt, now) })}
          {!device.showsContent && ` · ${t("notifyHidden")}`}
        </span>
        {!device.active && <Problem text={t("notifyInactive")} detail={device.failure} />}
        {result !== undefined && (result.outcome === "accepted"
          ? <span className="flex items-start gap-1.5 text-sm text-read"><Icon name="check" size={16} className="mt-0.5" />{t("notifyTestAccepted")}</span>
          : <Problem text={t(outcomes[result.outcome])} detail={result.detail} />)}
      </span>
      <button type="button" className={iconButton} disabled={busy} aria-label={t("notifyRemove", { name })} title={t("notifyRemove", { name })} onClick={onRemove}>
        <Icon name="trash" />
      </button>
    </li>
  );
}

/** `detail`: the service's own words, for whoever looks after the server. */
function Problem({ text, detail }: { text: string; detail: string | null }) {
  return (
    <span className="flex items-start gap-1.5 text-sm text-danger">
      <Icon name="warning" size={16} className="mt-0.5" />
      <span className="min-w-0 [overflow-wrap:anywhere]">
        {text}
        {detail !== null && detail !== "" && <span className="block text-soft">{detail}</span>}
      </span>
    </span>
  );
}
