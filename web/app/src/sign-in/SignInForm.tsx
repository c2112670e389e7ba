import { useTertulia } from "@tertulia/react";
import { useState, type FormEvent } from "react";
import { codeOf, explain } from "../errors";
import { useText } from "../i18n/useText";
import { Field, Problem } from "../ui/Field";

interface SignInFormProps {
  mode: "signIn" | "register";
  email?: string;
  onDone?(): void;
  submitClass: string;
}

export function SignInForm({ mode, email = "", onDone, submitClass }: SignInFormProps) {
  const client = useTertulia();
  const { t } = useText();
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const value = (name: string) => String(data.get(name) ?? "");
    setBusy(true);
    setProblem(null);
    try {
      if (mode === "signIn") await client.rest.login(value("email").trim(), value("password"));
      else await client.rest.register(value("email").trim(), value("password"), value("name").trim());
      onDone?.();
    } catch (error) {
      const code = codeOf(error);
      setProblem(mode === "signIn" && code === "unauthenticated" ? t("signInWrong") : mode === "register" && code === "conflict" ? t("emailTaken") : explain(error, t));
    } finally {
      setBusy(false);
    }
  }

  return (
    <form onSubmit={(event) => void submit(event)} aria-busy={busy}>
      {problem !== null && <Problem>{problem}</Problem>}
      {mode === "register" && <Field label={t("yourName")} hint={t("yourNameHint")} name="name" autoComplete="name" required maxLength={100} />}
      <Field label={t("email")} name="email" type="email" autoComplete={mode === "signIn" ? "username" : "email"} inputMode="email" defaultValue={email} required />
      <Field
        label={t("password")}
        name="password"
        type="password"
        autoComplete={mode === "signIn" ? "current-password" : "new-password"}
        minLength={mode === "register" ? 8 : undefined}
        hint={mode === "register" ? t("passwordHint") : undefined}
        required
      />
      <button type="submit" className={submitClass} disabled={busy}>
        {busy ? t("loading") : t(mode === "signIn" ? "signIn" : "createAccount")}
      </button>
    </form>
  );
}
