import { expect, test } from "vitest";
import { initialsOf, safePicture, tintOf } from "./people";

test("initials_are_those_of_the_first_and_the_last_word", () => {
  expect(initialsOf("Ana")).toBe("A");
  expect(initialsOf("  ana maría de la torre ")).toBe("AT");
  expect(initialsOf("محمد علي")).toBe("مع");
  expect(initialsOf("(Ana) [B]")).toBe("AB");
  expect(initialsOf("👩‍🚀")).toBe("👩‍🚀");
  expect(initialsOf("Sunday hike 🥾")).toBe("SH");
  expect(initialsOf("")).toBe("");
  expect(initialsOf("é́toile")).toBe("É́");
});

test("a_person_has_one_colour", () => {
  expect(tintOf("01a1fea7-58f2-744d-8b55-afaaaf7e88f9")).toBe(tintOf("01a1fea7-58f2-744d-8b55-afaaaf7e88f9"));
  expect(new Set(Array.from({ length: 200 }, (_, i) => tintOf(`person ${i}`))).size).toBe(8);
});

test("pictures_of_other_hosts_are_not_asked_for", () => {
  const here = "https://chat.example.org";
  expect(safePicture("/media/a.png", here)).toBe("https://chat.example.org/media/a.png");
  expect(safePicture("https://elsewhere.example/a.png", here)).toBeNull();
  expect(safePicture("//elsewhere.example/a.png", here)).toBeNull();
  expect(safePicture("javascript:alert(1)", here)).toBeNull();
  expect(safePicture("data:text/html;base64,AAAA", here)).toBeNull();
  expect(safePicture("data:image/svg+xml;base64,AAAA", here)).toBeNull();
  expect(safePicture("data:image/png;base64,AAAA", here)).toBe("data:image/png;base64,AAAA");
});
