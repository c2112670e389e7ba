interface ChoiceProps<V extends string> {
  name: string;
  title: string;
  /** Value, text, and the text's own language where it is another. */
  options: readonly (readonly [V, string, string?])[];
  value: V;
  onChange(value: V): void;
}

/** A few things of which one holds: radio buttons that look like one. */
export function Choice<V extends string>({ name, title, options, value, onChange }: ChoiceProps<V>) {
  return (
    <fieldset>
      <legend className="mb-1.5 text-sm font-medium">{title}</legend>
      <div className="flex flex-wrap gap-1 rounded-2xl bg-sunken p-1">
        {options.map(([one, text, lang]) => (
          <label key={one} lang={lang} className="relative flex min-h-10 flex-1 items-center justify-center rounded-xl px-2 text-center max-sm:text-sm sm:px-3 whitespace-nowrap has-checked:bg-raised has-checked:font-medium has-checked:shadow-low has-focus-visible:outline-2 has-focus-visible:outline-accent">
            <input type="radio" name={name} value={one} checked={value === one} onChange={() => onChange(one)} className="absolute inset-0 opacity-0" />
            {text}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
