import type { User } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useText } from "../i18n/useText";
import { conversationRoute, navigate } from "../shell/router";
import { Dialog } from "../ui/Dialog";
import { useAction } from "../ui/useAction";
import { PeoplePicker } from "./PeoplePicker";

export function NewDm({ open, onClose }: { open: boolean; onClose(): void }) {
  const client = useTertulia();
  const { t } = useText();
  const { run } = useAction();
  function start(user: User | undefined) {
    if (user === undefined) return;
    void run(async () => {
      const id = await client.rest.openDm({ userId: user.id });
      onClose();
      navigate(conversationRoute(id));
    });
  }
  return (
    <Dialog open={open} onClose={onClose} title={t("newDm")} text={t("newDmText")}>
      <div className="min-h-44">
        <PeoplePicker label={t("personByEmail")} single chosen={[]} onChange={([user]) => start(user)} />
      </div>
    </Dialog>
  );
}
