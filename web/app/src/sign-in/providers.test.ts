import { expect, test } from "vitest";
import { providersOf } from "./providers";

test("only_what_is_configured_is_offered", () => {
  expect(providersOf("")).toEqual([]);
  expect(providersOf("google=Google, acme=Acme & Co")).toEqual([{ id: "google", name: "Google" }, { id: "acme", name: "Acme & Co" }]);
  expect(providersOf("../evil=X, google, =Y")).toEqual([]);
});
