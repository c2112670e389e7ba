import type { Conversation, Member, Role, User } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useState } from "react";
import { PeoplePicker } from "../conversations/PeoplePicker";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";
import { conversationRoute, navigate } from "../shell/router";
import { Avatar, PresenceDot } from "../ui/Avatar";
import { button, iconButton } from "../ui/button";
import { Confirm, Dialog } from "../ui/Dialog";
import { Icon } from "../ui/Icon";
import { Menu, MenuItem, MenuLine } from "../ui/Menu";
import { useAction } from "../ui/useAction";

interface MembersProps {
  title: "h2" | "h3";
  conversation: Conversation;
  members: readonly Member[] | undefined;
  manages: boolean;
}

const order: Record<Role, number> = { owner: 0, admin: 1, member: 2 };
const roleKeys = { owner: "roleOwner", admin: "roleAdmin", member: "roleMember" } as const;
/** So many are drawn; the rest after a press. */
const SHOWN = 50;

export function Members({ title: Title, conversation, members, manages }: MembersProps) {
  const { t } = useText();
  const me = useMe();
  const [isAdding, setIsAdding] = useState(false);
  const [removing, setRemoving] = useState<Member | null>(null);
  const [shown, setShown] = useState(SHOWN);
  const client = useTertulia();
  const { run, busy } = useAction();
  const sorted = [...(members ?? [])].sort((a, b) => order[a.role] - order[b.role] || a.name.localeCompare(b.name));
  return (
    <section>
      <div className="flex items-center gap-2 pb-1">
        <Title className="flex-1 px-2 text-sm font-semibold text-soft">{t("members")}</Title>
        {manages && (
          <button type="button" className={button("quiet")} onClick={() => setIsAdding(true)}>
            <Icon name="plus" size={18} />
            {t("addPeople")}
          </button>
        )}
      </div>
      <ul className="overflow-hidden rounded-2xl border border-line bg-raised" aria-busy={members === undefined}>
        {sorted.slice(0, shown).map((member) => (
          <MemberLine key={member.userId} member={member} isMe={member.userId === me.id} conversation={conversation} onRemove={() => setRemoving(member)} />
        ))}
      </ul>
      {sorted.length > shown && (
        <button type="button" className={button("quiet", "mt-1 w-full")} onClick={() => setShown(Infinity)}>{t("moreItems", { count: sorted.length - shown })}</button>
      )}
      <AddPeople open={isAdding} onClose={() => setIsAdding(false)} conversation={conversation} members={members ?? []} />
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        busy={busy}
        onConfirm={() => void run(() => client.rest.removeMember(conversation.id, removing!.userId)).then(() => setRemoving(null))}
        title={t("removeFromGroupTitle", { name: removing?.name ?? "" })}
        text={t("removeFromGroupText")}
        action={t("remove")}
      />
    </section>
  );
}

interface MemberLineProps {
  member: Member;
  isMe: boolean;
  conversation: Conversation;
  onRemove(): void;
}

function MemberLine({ member, isMe, conversation, onRemove }: MemberLineProps) {
  const client = useTertulia();
  const { t, format } = useText();
  const { run } = useAction();
  const mine = conversation.myRole;
  const maySetRole = !isMe && mine === "owner" && !conversation.isLeft;
  const mayRemove = !isMe && !conversation.isLeft && (mine === "owner" || (mine === "admin" && member.role === "member"));
  const setRole = (role: Role) => void run(() => client.rest.setRole(conversation.id, member.userId, role));
  const write = () => void run(async () => navigate(conversationRoute(await client.rest.openDm({ userId: member.userId }))));
  return (
    <li className="flex items-center gap-3 px-3 py-2 not-first:border-t not-first:border-line">
      <span className="relative">
        <Avatar id={member.userId} name={member.name} picture={member.avatarUrl} />
        {!isMe && <PresenceDot user={member.userId} ring="ring-raised" />}
      </span>
      <span className="min-w-0 flex-1" title={t("joinedOn", { when: format.full(member.joinedAt) })}>
        <span className="block truncate font-medium"><bdi>{member.name}</bdi></span>
        {isMe && <span className="text-sm text-soft">{t("you")}</span>}
      </span>
      {member.role !== "member" && <span className="rounded-full bg-selected px-2 py-0.5 text-xs font-medium text-accent">{t(roleKeys[member.role])}</span>}
      {!isMe && (
        <Menu
          trigger={
            <button type="button" className={`${iconButton} size-9`} aria-label={t("memberActions", { name: member.name })}>
              <Icon name="more" size={18} />
            </button>
          }
        >
          <MenuItem icon="compose" onSelect={write}>{t("message")}</MenuItem>
          {maySetRole && (["owner", "admin", "member"] as const).filter((role) => role !== member.role).map((role) => (
            <MenuItem key={role} icon="person" onSelect={() => setRole(role)}>{t(role === "owner" ? "makeOwner" : role === "admin" ? "makeAdmin" : "makeMember")}</MenuItem>
          ))}
          {mayRemove && (
            <>
              <MenuLine />
              <MenuItem icon="close" danger onSelect={onRemove}>{t("removeFromGroup")}</MenuItem>
            </>
          )}
        </Menu>
      )}
    </li>
  );
}

interface AddPeopleProps {
  open: boolean;
  onClose(): void;
  conversation: Conversation;
  members: readonly Member[];
}

function AddPeople({ open, onClose, conversation, members }: AddPeopleProps) {
  const client = useTertulia();
  const { t } = useText();
  const { run, busy } = useAction();
  const [chosen, setChosen] = useState<readonly User[]>([]);
  async function add() {
    let left = chosen;
    const done = await run(async () => {
      for (const user of chosen) {
        await client.rest.addMember(conversation.id, { userId: user.id });
        left = left.filter((one) => one !== user);
      }
    });
    setChosen(left);
    if (done) onClose();
  }
  return (
    <Dialog open={open} onClose={onClose} title={t("addPeople")}>
      <div className="min-h-40 pt-3">
        <PeoplePicker label={t("personByEmail")} chosen={chosen} onChange={setChosen} isExcluded={(user) => members.some((member) => member.userId === user.id)} />
      </div>
      <button type="button" className={button("primary", "w-full")} disabled={busy || chosen.length === 0} onClick={() => void add()}>{t("add")}</button>
    </Dialog>
  );
}
