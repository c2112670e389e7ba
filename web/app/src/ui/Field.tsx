import { useId, useState, type InputHTMLAttributes, type ReactNode } from "react";
import { useText } from "../i18n/useText";
import { field } from "./button";
import { Icon } from "./Icon";

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: string;
  error?: string | null;
}

export function Field({ label, hint, error, type = "text", ...rest }: FieldProps) {
  const id = useId();
  const { t } = useText();
  const [shown, setShown] = useState(false);
  const isSecret = type === "password";
  return (
    <div className="mb-4">
      <label htmlFor={id} className="mb-1.5 block text-sm font-medium">
        {label}
      </label>
      <div className="relative">
        <input
          id={id}
          dir="auto"
          {...rest}
          type={isSecret && shown ? "text" : type}
          aria-invalid={error ? true : undefined}
          aria-describedby={hint || error ? `${id}-note` : undefined}
          className={`${field} ${isSecret ? "pe-12" : ""}`}
        />
        {isSecret && (
          <button
            type="button"
            className="absolute inset-y-0 end-0 grid w-11 place-items-center rounded-xl text-soft hover:text-ink"
            aria-label={t(shown ? "hidePassword" : "showPassword")}
            onClick={() => setShown(!shown)}
          >
            <Icon name={shown ? "eyeOff" : "eye"} size={18} />
          </button>
        )}
      </div>
      {(error || hint) && (
        <p id={`${id}-note`} className={`mt-1.5 text-sm ${error ? "text-danger" : "text-soft"}`}>
          {error || hint}
        </p>
      )}
    </div>
  );
}

/** What a form says when it could not be done. */
export function Problem({ children }: { children: ReactNode }) {
  return (
    <p role="alert" className="mb-4 flex items-start gap-2.5 rounded-xl bg-danger-soft px-3.5 py-2.5 text-danger">
      <Icon name="warning" size={18} className="mt-0.5" />
      <span className="min-w-0">{children}</span>
    </p>
  );
}
