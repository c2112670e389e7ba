import type { Conversation } from "@tertulia/client";
import { expect, test } from "vitest";
import { excerpt, fits } from "./describe";

const dm = (name: string, email: string | null = null) =>
  ({ type: "dm", title: null, peer: { id: "1", name, email, avatarUrl: null, createdAt: 0 } }) as Conversation;

test("people_are_found_by_the_beginning_of_a_name_or_an_address", () => {
  expect(fits(dm("María José Núñez"), "nun")).toBe(true);
  expect(fits(dm("María José Núñez"), "jose mar")).toBe(true);
  expect(fits(dm("Ana", "ana.perez@example.org"), "ana.p")).toBe(true);
  expect(fits(dm("Ana"), "bo")).toBe(false);
});

test("what_was_found_is_shown_within_what_surrounds_it", () => {
  expect(excerpt("Shall we meet\nat Noon?", "noon")).toEqual(["Shall we meet at ", "Noon", "?"]);
  const [before, found] = excerpt(`${"word ".repeat(50)}needle here`, "needle")!;
  expect(found).toBe("needle");
  expect(before.length).toBeLessThan(45);
  expect(excerpt("nothing", "else")).toBeNull();
});
