import { usePresence } from "@tertulia/react";
import { useState } from "react";
import { useText } from "../i18n/useText";
import { initialsOf, safePicture, tintOf } from "./people";

const sizes = {
  sm: "size-7 text-[0.6875rem]",
  md: "size-10 text-sm",
  lg: "size-12 text-base",
  xl: "size-20 text-2xl",
} as const;

interface AvatarProps {
  id: string;
  name: string;
  picture: string | null;
  size?: keyof typeof sizes;
  /** A group's is a rounded square. */
  square?: boolean;
}

/** Decoration: the name always stands beside it. */
export function Avatar({ id, name, picture, size = "md", square = false }: AvatarProps) {
  const address = safePicture(picture, location.origin);
  const [broken, setBroken] = useState<string | null>(null);
  const shape = square ? "rounded-[30%]" : "rounded-full";
  if (address !== null && broken !== address) {
    return <img src={address} alt="" className={`${sizes[size]} ${shape} shrink-0 object-cover`} onError={() => setBroken(address)} />;
  }
  return (
    <span aria-hidden="true" data-initials={initialsOf(name)} className={`${sizes[size]} ${shape} tint-${tintOf(id)} grid shrink-0 place-items-center font-semibold text-white select-none before:content-[attr(data-initials)]`} />
  );
}

/** A dot for who is there now. Looks only while it is on the screen. */
export function PresenceDot({ user, ring }: { user: string; ring: string }) {
  const presence = usePresence(user);
  const { t } = useText();
  if (presence?.online !== true) return null;
  return <span role="img" aria-label={t("online")} className={`absolute end-0 bottom-0 size-3 rounded-full bg-online ring-2 ${ring}`} />;
}
