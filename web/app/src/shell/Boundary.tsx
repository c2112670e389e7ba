import { Component, type ReactNode } from "react";
import { useText } from "../i18n/useText";
import { button } from "../ui/button";
import { Empty } from "../ui/Empty";

/** A fault in drawing may not leave an empty page. */
export class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const { t } = useText();
  return (
    <main className="grid h-dvh place-items-center">
      <Empty icon="warning" title={t("crashed")} text={t("crashedText")}>
        <button type="button" className={button("primary")} onClick={() => location.reload()}>
          {t("reload")}
        </button>
      </Empty>
    </main>
  );
}
