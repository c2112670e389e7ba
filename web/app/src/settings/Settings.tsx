import { useStorage } from "@tertulia/react";
import { useState, type ReactNode } from "react";
import { languages, type Language } from "../i18n/translate";
import { useText } from "../i18n/useText";
import { setPreferences, usePreferences, type Theme } from "../shell/preferences";
import { goBack } from "../shell/router";
import { button, iconButton } from "../ui/button";
import { Icon, type IconName } from "../ui/Icon";
import { Blocked } from "./Blocked";
import { Choice } from "./Choice";
import { Devices } from "./Devices";
import { LogOut } from "./LogOut";
import { Notifications } from "./notifications/Notifications";
import { Profile } from "./Profile";

export function Settings() {
  const { t } = useText();
  const [isLeaving, setIsLeaving] = useState(false);
  return (
    <div className="flex min-h-0 flex-1 flex-col overflow-y-auto">
      <header className="sticky top-0 z-10 flex h-16 shrink-0 items-center gap-2 border-b border-line bg-ground px-2 sm:px-4">
        <button type="button" className={`${iconButton} md:hidden`} aria-label={t("back")} onClick={() => goBack({ at: "home" })}><Icon name="back" size={22} /></button>
        <h1 className="px-2 text-lg font-semibold">{t("settings")}</h1>
      </header>
      <div className="mx-auto w-full max-w-2xl space-y-5 px-4 py-6 pb-[max(2rem,env(safe-area-inset-bottom))]">
        <Section icon="person" title={t("profile")} text={t("profileText")}><Profile /></Section>
        <Section icon="palette" title={t("appearance")}><Appearance /></Section>
        <Section icon="bell" title={t("notifications")} text={t("notificationsText")}><Notifications /></Section>
        <Section icon="device" title={t("devices")} text={t("devicesText")}><Devices /></Section>
        <Section icon="block" title={t("blockedPeople")}><Blocked /></Section>
        <Section icon="database" title={t("storage")}><StorageUsed /></Section>
        <Section icon="keyboard" title={t("keyboard")}><Keys /></Section>
        <Section icon="leave" title={t("logOut")} text={t("logOutText")}>
          <button type="button" className={button("danger")} onClick={() => setIsLeaving(true)}>{t("logOut")}</button>
        </Section>
      </div>
      <LogOut open={isLeaving} onClose={() => setIsLeaving(false)} />
    </div>
  );
}

function Section({ icon, title, text, children }: { icon: IconName; title: string; text?: string; children?: ReactNode }) {
  return (
    <section className="rounded-3xl border border-line bg-raised p-5 shadow-low sm:p-6">
      <h2 className="flex items-center gap-3 font-semibold">
        <Icon name={icon} className="text-accent" />
        {title}
      </h2>
      {text !== undefined && <p className="mt-1 text-soft">{text}</p>}
      {children !== undefined && <div className="mt-4">{children}</div>}
    </section>
  );
}

function Appearance() {
  const { t } = useText();
  const { theme, language } = usePreferences();
  const themes: [Theme, string][] = [["system", t("themeSystem")], ["light", t("themeLight")], ["dark", t("themeDark")]];
  const tongues: [Language | "", string, string?][] = [["", t("languageSystem")], ...Object.entries(languages).map(([code, name]): [Language, string, string] => [code as Language, name, code])];
  return (
    <div className="space-y-5">
      <Choice name="theme" title={t("theme")} options={themes} value={theme} onChange={(next) => setPreferences({ theme: next })} />
      <Choice name="language" title={t("language")} options={tongues} value={language ?? ""} onChange={(next) => setPreferences({ language: next === "" ? null : next })} />
    </div>
  );
}

function StorageUsed() {
  const storage = useStorage();
  const { t, format } = useText();
  if (storage === undefined) return <p className="text-soft">{t("loading")}</p>;
  return (
    <>
      <p className="font-medium">{t("storageUsed", { size: format.bytes(storage.bytes) })}</p>
      <p className="mt-1 text-soft">{t(!storage.isDurable ? "storageMemory" : storage.isPersisted ? "storagePersisted" : "storageNotPersisted")}</p>
    </>
  );
}

function Keys() {
  const { t } = useText();
  const isApple = /Mac|iPhone|iPad/u.test(navigator.userAgent);
  const keys: [string, readonly string[]][] = [
    [t("keySearch"), [isApple ? "⌘ K" : "Ctrl K"]],
    [t("keyNextConversation"), [isApple ? "⌥ ↓" : "Alt ↓", isApple ? "⌥ ↑" : "Alt ↑"]],
    [t("keyEditLast"), ["↑"]],
    [t("keyMove"), ["↑", "↓"]],
    [t("keyActions"), ["Enter"]],
    [t("keyQuick"), ["R", "E", "Del", "+"]],
  ];
  return (
    <dl className="divide-y divide-line">
      {keys.map(([what, all]) => (
        <div key={what} className="flex items-center justify-between gap-4 py-2">
          <dt className="min-w-0">{what}</dt>
          <dd className="flex shrink-0 gap-1">{all.map((key) => <kbd key={key} className="rounded-md border border-line bg-ground px-1.5 py-0.5 font-sans text-sm text-soft">{key}</kbd>)}</dd>
        </div>
      ))}
    </dl>
  );
}
