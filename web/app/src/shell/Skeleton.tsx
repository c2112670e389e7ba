import { useText } from "../i18n/useText";

/** What stands there while the database opens: the outline of the app, or of nothing in particular. */
export function Skeleton() {
  const { t } = useText();
  return (
    <main className="flex h-dvh" aria-busy="true">
      <h1 className="sr-only">{t("loading")}</h1>
      <div className="animate-shimmer w-full bg-panel p-4 md:w-[22rem] md:border-e md:border-line" aria-hidden="true">
        <div className="mb-5 h-11 rounded-xl bg-sunken" />
        <SkeletonList />
      </div>
    </main>
  );
}

export function SkeletonList() {
  return (
    <div aria-hidden="true">
      {[68, 82, 55, 74, 60].map((width) => (
        <div key={width} className="mb-4 flex items-center gap-3">
          <div className="size-12 rounded-full bg-sunken" />
          <div className="flex-1">
            <div className="mb-2 h-3.5 rounded-full bg-sunken" style={{ width: `${width}%` }} />
            <div className="h-3 w-2/5 rounded-full bg-sunken" />
          </div>
        </div>
      ))}
    </div>
  );
}
