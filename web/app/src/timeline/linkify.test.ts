import { expect, test } from "vitest";
import { piecesOf } from "./linkify";

const links = (body: string) => piecesOf(body).flatMap((piece) => ("href" in piece ? [[piece.text, piece.href]] : []));
const text = (body: string) => piecesOf(body).map((piece) => piece.text).join("");

test("addresses_in_a_sentence_become_links_without_its_punctuation", () => {
  expect(links("See https://example.org/a?b=c#d, or (http://example.org/x_(y)).")).toEqual([
    ["https://example.org/a?b=c#d", "https://example.org/a?b=c#d"],
    ["http://example.org/x_(y)", "http://example.org/x_(y)"],
  ]);
  expect(links("www.example.org!")).toEqual([["www.example.org", "https://www.example.org/"]]);
  expect(links("ana@example.org; mailto:bob@example.org.")).toEqual([
    ["ana@example.org", "mailto:ana@example.org"],
    ["mailto:bob@example.org", "mailto:bob@example.org"],
  ]);
});

test("only_http_https_and_mailto_are_links", () => {
  for (const body of [
    "javascript:alert(1)", "JaVaScRiPt://example.org/%0aalert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "file:///etc/passwd",
    "ftp://example.org", "blob:https://example.org/x", "http://", "https://?", "mailto:", "about:blank", "intent://x#Intent;end", "//example.org",
  ]) {
    expect(links(body).filter(([, href]) => !/^(https?|mailto):/.test(href ?? "")), body).toEqual([]);
  }
  expect(links("javascript:alert(1)")).toEqual([]);
});

test("the_host_on_the_screen_is_the_host_it_leads_to", () => {
  expect(links("https://bank.example@evil.example/")).toEqual([]);
  expect(links("https://bank.example%2F@evil.example/")).toEqual([]);
  expect(links("https://аpple.com/x")).toEqual([["https://xn--pple-43d.com/x", "https://xn--pple-43d.com/x"]]);
  expect(links("https://ＥＸＡＭＰＬＥ.org/")).toEqual([["https://example.org/", "https://example.org/"]]);
  expect(links("https://example.org\\@evil.example")).toEqual([["https://example.org\\@evil.example", "https://example.org/@evil.example"]]);
  expect(links("https://0x7f.1/")).toEqual([["https://127.0.0.1/", "https://127.0.0.1/"]]);
});

test("a_link_ends_before_what_turns_the_direction_of_text", () => {
  expect(links("https://example.org/\u202Egnp.exe")).toEqual([["https://example.org/", "https://example.org/"]]);
  expect(links("https://exam\u2066ple.org")).toEqual([]);
});

test("markup_in_a_body_is_text", () => {
  for (const body of ["<img src=x onerror=alert(1)>", "<a href='javascript:alert(1)'>x</a>", "https://example.org/\"onmouseover=\"alert(1)", "</script><script>alert(1)</script>", "{{7*7}}${7*7}"]) {
    expect(text(body)).toBe(body);
  }
  expect(links('https://example.org/"onmouseover="x')).toEqual([["https://example.org/", "https://example.org/"]]);
});

test("nothing_of_a_body_is_lost", () => {
  for (const body of ["", "plain", "a https://example.org b\n\nc", "x@y", "@@@", "foohttps://example.org", "https://example.org…and more", "\u202Etxt"]) {
    expect(text(body)).toBe(body);
  }
});

test("a_long_body_is_read_in_linear_time", () => {
  const began = performance.now();
  for (const part of ["https://", "a@", "www.", "((((", "a.", "....", "mailto:"]) piecesOf(part.repeat(4096 / part.length));
  expect(performance.now() - began).toBeLessThan(500);
});
