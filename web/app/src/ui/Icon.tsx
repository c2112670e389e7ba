/** Drawn on 24 by 24, in the colour of the text around. */
const paths = {
  back: "M15 5l-7 7 7 7",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  compose: "M12 20h8M16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1 1-4z",
  group: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c.4-3.6 3-5.5 6.5-5.5s6.1 1.9 6.5 5.5M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.9c2 .8 3.2 2.5 3.5 5.1",
  person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.5-4 3.4-6 7.5-6s7 2 7.5 6",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4zM9 14.8a2.2 2.2 0 1 1 0 4.4 2.2 2.2 0 0 1 0-4.4z",
  close: "M6 6l12 12M18 6L6 18",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  info: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 11v5M12 8h.01",
  send: "M4.5 12L20 4.5 15.5 20l-3.6-6.4zM20 4.5l-8.1 9.1",
  smile: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.5 14.2c.8 1.2 2 1.8 3.5 1.8s2.7-.6 3.5-1.8M9 9.5h.01M15 9.5h.01",
  reply: "M9.5 6L4 11.5 9.5 17M4 11.5h9.5a6.5 6.5 0 0 1 6.5 6.5",
  edit: "M16.5 4.5a2.1 2.1 0 0 1 3 3L8 19l-4 1 1-4z",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.4L17.5 7M10 11v5M14 11v5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6z",
  eyeOff: "M4 4l16 16M9.9 5.7A9.5 9.5 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a17 17 0 0 1-2.6 3.4M6.3 7.4A16 16 0 0 0 2.5 12S6 18.5 12 18.5a9 9 0 0 0 4.5-1.2",
  down: "M12 5v14M6 13l6 6 6-6",
  chevron: "M6 9l6 6 6-6",
  up: "M12 19V5M6 11l6-6 6 6",
  mute: "M5 9.5h3.5L13 5.5v13l-4.5-4H5zM17 10l4 4M21 10l-4 4",
  sound: "M5 9.5h3.5L13 5.5v13l-4.5-4H5zM16.5 9a4 4 0 0 1 0 6M19 6.5a7.5 7.5 0 0 1 0 11",
  hide: "M4 4.5h16v4H4zM5.5 8.5v11h13v-11M10 12.5h4",
  block: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM6 6l12 12",
  plus: "M12 5v14M5 12h14",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.2l2.8 1.8",
  warning: "M12 4L2.8 19.5h18.4zM12 10v4.5M12 17h.01",
  check: "M5 12.5l4.5 4.5L19 7.5",
  leave: "M14 4.5H5.5v15H14M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5",
  offline: "M3.5 3.5l17 17M8.6 8.7A9 9 0 0 0 5 10.8M2 7.5A14 14 0 0 1 6 5.2M11 5a14 14 0 0 1 11 2.5M14.5 9A9 9 0 0 1 19 10.8M9 15a5 5 0 0 1 5.6-.4M12 19h.01",
  device: "M4 5h16v10.5H4zM9 19.5h6M12 15.5v4",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4",
  palette: "M12 3.5a8.5 8.5 0 0 0 0 17c1.6 0 2-1 1.6-2.1-.5-1.6.4-2.9 2.1-2.9h1.8c1.8 0 3-1.3 3-3.5 0-4.8-3.8-8.5-8.5-8.5zM7.5 12h.01M9.5 7.8h.01M14.5 7.8h.01",
  database: "M12 4c4 0 7 1.2 7 2.7S16 9.4 12 9.4 5 8.2 5 6.7 8 4 12 4zM5 6.700v10.600C5 18.8 8 20 12 20s7-1.2 7-2.700V6.700M5 12c0 1.5 3 2.7 7 2.700s7-1.2 7-2.7",
  keyboard: "M3 6.500h18v11H3zM7 10h.01M10.5 10h.01M14 10h.01M17 10h.01M8 14h8",
} as const;

export type IconName = keyof typeof paths;

const heavy = new Set<IconName>(["more"]);
/** Those which point: they turn with the direction of the writing. */
const directed = new Set<IconName>(["back", "reply", "send", "leave"]);

export function Icon({ name, size = 20, className = "" }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={heavy.has(name) ? 2.6 : 1.75}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={`shrink-0 ${directed.has(name) ? "rtl:-scale-x-100" : ""} ${className}`}
    >
      <path d={paths[name]} />
    </svg>
  );
}
