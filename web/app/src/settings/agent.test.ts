import { expect, test } from "vitest";
import { nameOfAgent } from "./agent";

test("a_device_has_a_name_people_know", () => {
  expect(nameOfAgent("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")).toBe("Firefox, Linux");
  expect(nameOfAgent("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile Safari/604.1")).toBe("Safari, iPhone");
  expect(nameOfAgent("tertulia-tui/0.1")).toBe("tertulia-tui/0.1");
  expect(nameOfAgent(null)).toBeNull();
  expect(nameOfAgent(" ")).toBeNull();
});
