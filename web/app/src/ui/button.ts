const base =
  "inline-flex items-center justify-center gap-2 rounded-xl font-medium whitespace-nowrap transition-colors select-none disabled:opacity-55 disabled:pointer-events-none";

const kinds = {
  primary: "bg-fill text-on-accent hover:bg-fill-hover px-4 min-h-10",
  secondary: "bg-raised text-ink border border-line hover:bg-hover px-4 min-h-10",
  quiet: "text-accent hover:bg-hover px-3 min-h-9",
  danger: "bg-danger-fill text-white hover:brightness-110 px-4 min-h-10",
  quietDanger: "text-danger hover:bg-danger-soft px-3 min-h-9",
} as const;

export function button(kind: keyof typeof kinds, more = ""): string {
  return `${base} ${kinds[kind]} ${more}`;
}

export const iconButton =
  "inline-grid size-10 shrink-0 place-items-center rounded-full text-soft hover:bg-hover hover:text-ink transition-colors disabled:opacity-50 aria-pressed:bg-selected aria-pressed:text-accent data-[state=open]:bg-hover";

export const field =
  "w-full rounded-xl border border-line-strong bg-raised px-3.5 min-h-11 text-ink placeholder:text-faint focus-visible:outline-2 focus-visible:outline-offset-0 focus-visible:outline-accent aria-invalid:border-danger";
