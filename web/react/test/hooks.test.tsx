import type { ConnectionState, Live, Refused, Tertulia, Timeline, TimelineView } from "@tertulia/client";
import { act, StrictMode, type ReactNode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TertuliaProvider, useConnection, useConversation, useOutbox, usePresence, useRefused, useTertulia, useTimeline } from "../src/index";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

class Value<T> implements Live<T> {
  listeners = new Set<() => void>();
  constructor(private value?: T) {}
  get() {
    return this.value;
  }
  set(value: T) {
    this.value = value;
    for (const listener of this.listeners) listener();
  }
  subscribe(listener: () => void) {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

class Page extends Value<TimelineView> implements Timeline {
  closed = false;
  loadOlder = async () => {};
  loadNewer = async () => {};
  jumpTo = async () => {};
  jumpToPlace = async () => {};
  jumpToNewest = async () => {};
  close() {
    this.closed = true;
  }
}

const client = (parts: object) => parts as Tertulia;

let root: Root;
let box: HTMLElement;
beforeEach(() => {
  box = document.createElement("div");
  root = createRoot(box);
});
afterEach(() => act(() => root.unmount()));

const show = (on: Tertulia, children: ReactNode) => act(() => root.render(<TertuliaProvider client={on}>{children}</TertuliaProvider>));

test("a_value_is_shown_and_followed", () => {
  const connection = new Value<ConnectionState>();
  const Line = () => <p>{useConnection()?.state ?? "unknown"}</p>;
  show(client({ connection }), <Line />);
  expect(box.textContent).toBe("unknown");
  act(() => connection.set({ state: "offline" }));
  expect(box.textContent).toBe("offline");
});

test("nobody_listens_once_the_component_is_gone", () => {
  const connection = new Value<ConnectionState>({ state: "connecting" });
  const Line = () => <p>{useConnection()?.state}</p>;
  show(client({ connection }), <Line />);
  expect(connection.listeners.size).toBe(1);
  show(client({ connection }), null);
  expect(connection.listeners.size).toBe(0);
});

test("another_conversation_is_another_value", () => {
  const titles: Record<string, Value<{ title: string }>> = { a: new Value({ title: "A" }), b: new Value({ title: "B" }) };
  const on = client({ conversation: (id: string) => titles[id] });
  const Title = ({ id }: { id: string | null }) => <p>{useConversation(id)?.title ?? "none"}</p>;
  show(on, <Title id="a" />);
  expect(box.textContent).toBe("A");
  show(on, <Title id="b" />);
  expect(box.textContent).toBe("B");
  expect(titles["a"]?.listeners.size).toBe(0);
  show(on, <Title id={null} />);
  expect(box.textContent).toBe("none");
});

test("a_timeline_is_closed_when_its_conversation_leaves_the_screen", () => {
  const pages: Record<string, Page[]> = { a: [], b: [] };
  const on = client({
    timeline(id: string) {
      const page = new Page({ messages: [], hasOlder: id === "a", hasNewer: false });
      pages[id]?.push(page);
      return page;
    },
  });
  const Pane = ({ id }: { id: string }) => {
    const { view, timeline } = useTimeline(id);
    return <p>{timeline === null ? "none" : String(view?.hasOlder)}</p>;
  };
  show(on, <StrictMode><Pane id="a" /></StrictMode>);
  expect(box.textContent).toBe("true");
  show(on, <StrictMode><Pane id="b" /></StrictMode>);
  expect(box.textContent).toBe("false");
  show(on, null);
  for (const page of [...(pages["a"] ?? []), ...(pages["b"] ?? [])]) {
    expect(page.closed).toBe(true);
    expect(page.listeners.size).toBe(0);
  }
});

test("what_is_not_known_yet_is_an_empty_list_where_a_list_is_meant", () => {
  const outbox = new Value<never[]>();
  const Count = () => <p>{useOutbox().length}</p>;
  show(client({ outbox }), <Count />);
  expect(box.textContent).toBe("0");
});

test("only_who_is_looked_at_is_watched", () => {
  const ana = new Value({ online: true, lastSeenAt: null });
  const Dot = ({ user }: { user: string | null }) => <p>{String(usePresence(user)?.online)}</p>;
  const on = client({ presence: () => ana });
  show(on, <Dot user={null} />);
  expect(ana.listeners.size).toBe(0);
  show(on, <Dot user="ana" />);
  expect(ana.listeners.size).toBe(1);
  expect(box.textContent).toBe("true");
});

test("the_newest_listener_hears_what_was_refused", () => {
  let tell: (what: Refused) => void = () => {};
  let ended = 0;
  const on = client({
    onRefused(listener: (what: Refused) => void) {
      tell = listener;
      return () => void ended++;
    },
  });
  const heard: string[] = [];
  const Ear = ({ name }: { name: string }) => {
    useRefused((what) => heard.push(`${name}: ${what.code}`));
    return null;
  };
  show(on, <Ear name="first" />);
  show(on, <Ear name="second" />);
  act(() => tell({ conversationId: "c", code: "not_found", detail: "" }));
  expect(heard).toEqual(["second: not_found"]);
  show(on, null);
  expect(ended).toBe(1);
});

test("without_a_provider_the_error_says_so", () => {
  const Bare = () => <p>{typeof useTertulia()}</p>;
  expect(() => act(() => root.render(<Bare />))).toThrow(/TertuliaProvider/);
});
