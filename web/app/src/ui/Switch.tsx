import { useId, useState, type ReactNode } from "react";

interface SwitchProps {
  checked: boolean;
  /** It shows what is wanted until this has ended, and then what is. */
  onChange(checked: boolean): Promise<unknown>;
  disabled?: boolean;
  note?: string;
  children: ReactNode;
}

/** On or off, at once. The whole line can be pressed. */
export function Switch({ checked, onChange, disabled = false, note, children }: SwitchProps) {
  const id = useId();
  const [wanted, setWanted] = useState<boolean | null>(null);
  function change(next: boolean) {
    setWanted(next);
    void onChange(next).finally(() => setWanted(null));
  }
  return (
    <div className="flex items-start gap-4 py-2">
      <label htmlFor={id} className={`min-w-0 flex-1 ${disabled ? "text-faint" : ""}`}>
        <span className="block font-medium">{children}</span>
        {note !== undefined && <span id={`${id}-note`} className="block text-sm text-soft">{note}</span>}
      </label>
      <span className="relative mt-0.5 inline-flex h-7 w-12 shrink-0">
        <input
          id={id}
          type="checkbox"
          role="switch"
          checked={wanted ?? checked}
          disabled={disabled}
          aria-describedby={note === undefined ? undefined : `${id}-note`}
          onChange={(event) => change(event.target.checked)}
          className="peer absolute inset-0 m-0 cursor-pointer appearance-none rounded-full border border-line-strong bg-sunken transition-colors checked:border-transparent checked:bg-fill disabled:cursor-default disabled:opacity-55"
        />
        <span aria-hidden="true" className="pointer-events-none absolute start-1 top-1 size-5 rounded-full bg-line-strong transition-transform peer-checked:translate-x-5 peer-checked:bg-on-accent rtl:peer-checked:-translate-x-5" />
      </span>
    </div>
  );
}
