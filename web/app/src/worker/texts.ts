import type { Language } from "../i18n/translate";

/** The little that the worker says by itself: the app's dictionaries are ten times its size. */
const texts = {
  en: {
    newMessages: "New messages",
    newMessagesText: "Open Tertulia to read them.",
    reply: "Reply",
    replyHint: "Your answer",
    notSent: "Your answer was not sent",
    notSentText: "Open the conversation to see why.",
  },
  es: {
    newMessages: "Mensajes nuevos",
    newMessagesText: "Abre Tertulia para leerlos.",
    reply: "Responder",
    replyHint: "Tu respuesta",
    notSent: "Tu respuesta no se envió",
    notSentText: "Abre la conversación para ver por qué.",
  },
} satisfies Record<Language, Record<string, string>>;

export type WorkerTexts = (typeof texts)["en"];

/** In the language that the app was last used in, else the browser's. */
export function textsFor(language: Language | null, wanted: readonly string[]): WorkerTexts {
  const short = wanted.map((tag) => tag.toLowerCase().split("-")[0] ?? "").find((tag) => Object.hasOwn(texts, tag));
  return texts[language ?? (short as Language | undefined) ?? "en"];
}
