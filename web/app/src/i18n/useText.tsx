import { createContext, useContext, useEffect, useMemo, type ReactNode } from "react";
import { usePreferences } from "../shell/preferences";
import { languageOf, localeOf, translator, type Language, type Translate } from "./translate";
import { formats, type Formats } from "./formats";

export interface Text {
  language: Language;
  t: Translate;
  format: Formats;
}

const Context = createContext<Text | null>(null);

export function TextProvider({ children }: { children: ReactNode }) {
  const { language: chosen } = usePreferences();
  const language = chosen ?? languageOf(navigator.languages);
  const text = useMemo(() => ({ language, t: translator(language), format: formats(localeOf(language, navigator.languages)) }), [language]);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  return <Context value={text}>{children}</Context>;
}

export function useText(): Text {
  const text = useContext(Context);
  if (text === null) throw new Error("useText: there is no <TextProvider> above");
  return text;
}
