import { expect, test } from "vitest";
import { pathOf, routeOf, type Route } from "./router";

test("every_route_survives_its_own_address", () => {
  const routes: Route[] = [
    { at: "home" },
    { at: "settings" },
    { at: "conversation", id: "01a1", message: null, info: false },
    { at: "conversation", id: "a/b?c", message: "m&1", info: false },
    { at: "conversation", id: "01a1", message: null, info: true },
  ];
  for (const route of routes) expect(routeOf(new URL(pathOf(route), "http://here"))).toEqual(route);
});

test("an_unknown_address_is_home", () => {
  expect(routeOf(new URL("http://here/nowhere/at/all"))).toEqual({ at: "home" });
  expect(routeOf(new URL("http://here/c/"))).toEqual({ at: "home" });
});
