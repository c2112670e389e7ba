import { useState } from "react";
import { setPreferences } from "../shell/preferences";
import { languages, type Language } from "../i18n/translate";
import { useText } from "../i18n/useText";
import { button } from "../ui/button";
import { Icon } from "../ui/Icon";
import { configuredProviders } from "./providers";
import { SignInForm } from "./SignInForm";

export function Landing() {
  const { t, language } = useText();
  const [mode, setMode] = useState<"signIn" | "register">("signIn");
  const providers = configuredProviders();
  const other = (Object.keys(languages) as Language[]).find((one) => one !== language)!;
  return (
    <div className="grid h-dvh overflow-y-auto lg:grid-cols-[1.1fr_1fr]">
      <aside aria-label={t("appName")} className="relative hidden flex-col justify-between overflow-hidden bg-[#5d1836] p-12 text-white lg:flex xl:p-16">
        <Logo />
        <Bubbles />
        <div className="max-w-xl">
          <p className="text-4xl leading-[1.1] font-semibold tracking-tight text-balance xl:text-5xl">{t("landingTitle")}</p>
          <p className="mt-5 max-w-md text-lg text-white/85">{t("landingText")}</p>
          <ul className="mt-8 space-y-3">
            {(["landingPoint1", "landingPoint2", "landingPoint3"] as const).map((point) => (
              <li key={point} className="flex items-center gap-3">
                <span className="grid size-6 place-items-center rounded-full bg-white/15">
                  <Icon name="check" size={14} />
                </span>
                {t(point)}
              </li>
            ))}
          </ul>
        </div>
      </aside>
      <main className="flex flex-col px-6 py-6 sm:px-10">
        <div className="flex items-center justify-between gap-3">
          <div className="text-accent lg:invisible">
            <Logo />
          </div>
          <button type="button" lang={other} className={button("quiet")} onClick={() => setPreferences({ language: other })}>
            {languages[other]}
          </button>
        </div>
        <div className="m-auto w-full max-w-sm py-8">
          <h1 className="text-2xl font-semibold tracking-tight">{t(mode === "signIn" ? "signIn" : "createAccount")}</h1>
          <p className="mt-1 mb-7 text-soft">
            {t(mode === "signIn" ? "noAccount" : "haveAccount")}{" "}
            <button type="button" className="rounded font-medium text-accent underline underline-offset-4" onClick={() => setMode(mode === "signIn" ? "register" : "signIn")}>
              {t(mode === "signIn" ? "createAccount" : "signIn")}
            </button>
          </p>
          {providers.length > 0 && (
            <>
              <div className="space-y-2">
                {providers.map(({ id, name }) => (
                  <a key={id} href={`/auth/${id}`} className={button("secondary", "w-full")}>
                    {t("continueWith", { name })}
                  </a>
                ))}
              </div>
              <p className="my-5 flex items-center gap-3 text-sm text-soft before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">{t("or")}</p>
            </>
          )}
          <SignInForm key={mode} mode={mode} submitClass={button("primary", "w-full min-h-11 mt-2")} />
        </div>
      </main>
    </div>
  );
}

function Logo() {
  return (
    <span className="flex items-center gap-2.5 text-lg font-semibold tracking-tight">
      <svg width="30" height="30" viewBox="0 0 64 64" aria-hidden="true">
        <path fill="currentColor" d="M27 8c13.300 0 23 8.300 23 19.500S40.300 47 27 47c-2.600 0-5.100-.3-7.400-.9L9.500 50.500l2-8.900C6.900 38 4 33 4 27.500 4 16.300 13.700 8 27 8z" />
        <path fill="currentColor" opacity="0.55" d="M54.500 28.500C58 31.300 60 35.200 60 39.500c0 3.900-1.700 7.500-4.600 10.200l1.400 6.800-7.600-3.400c-2.200.6-4.500.9-7 .9-5.400 0-10.200-1.500-13.800-4.100C43.500 49.300 54.400 41 54.500 28.500z" />
      </svg>
      Tertulia
    </span>
  );
}

/** A conversation without words. */
function Bubbles() {
  const bar = "rounded-3xl px-5 py-4";
  const line = (width: string) => <span className={`block h-2.5 rounded-full bg-current opacity-40 ${width}`} />;
  return (
    <div aria-hidden="true" className="my-10 max-w-lg space-y-3">
      <div className={`${bar} w-64 rounded-es-md bg-white/12 text-white`}>{line("w-40")}</div>
      <div className={`${bar} ms-auto w-72 space-y-2 rounded-ee-md bg-[#f3dde5] text-[#5d1836]`}>
        {line("w-56")}
        {line("w-32")}
      </div>
      <div className={`${bar} w-48 rounded-es-md bg-white/12 text-white`}>{line("w-28")}</div>
    </div>
  );
}
