"use strict";
// Draws the two documents; text only ever goes in as text.
const main = document.getElementById("main");
const el = (tag, attributes, ...children) => {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
const refName = (ref) => ref.split("/").pop();
const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return refName(schema.$ref);
  if (schema.oneOf || schema.anyOf) return (schema.oneOf || schema.anyOf).map(typeOf).join(" | ");
  if (schema.type === "array") return typeOf(schema.items) + "[]";
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type || "object";
  return schema.enum ? schema.enum.map((value) => JSON.stringify(value)).join(" | ") : type + (schema.format ? ` (${schema.format})` : "");
};
const fields = (schema, schemas, depth = 0) => {
  if (!schema || depth > 3) return [];
  if (schema.$ref) return fields(schemas[refName(schema.$ref)], schemas, depth + 1);
  if (schema.allOf) return schema.allOf.flatMap((part) => fields(part, schemas, depth + 1));
  const required = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, of]) => [name + (required.has(name) ? "" : "?"), typeOf(of), of.description || ""]);
};
const table = (rows) => {
  if (!rows.length) return null;
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, at) => el("td", {}, at < 2 ? el("code", {}, cell) : cell))));
  return el("table", {}, el("tbody", {}, ...body));
};
const section = (title, entries) => el("section", {}, el("h2", {}, title), ...entries);

const restEntry = (method, path, operation, schemas) => {
  const parameters = (operation.parameters || []).map((p) => [p.name + (p.required ? "" : "?"), `${p.in}: ${typeOf(p.schema)}`, p.description || ""]);
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  const responses = Object.entries(operation.responses || {}).map(([status, response]) => {
    const content = Object.values(response.content || {})[0];
    return [status, content ? typeOf(content.schema) : "", response.description || ""];
  });
  return el("details", { className: "entry" },
    el("summary", {}, el("b", {}, method.toUpperCase()), el("span", { className: "path" }, path), " ", operation.summary || ""),
    el("p", {}, operation.description || operation.summary || ""),
    table(parameters),
    body ? el("h4", {}, `Body: ${typeOf(body)}`) : null, body ? table(fields(body, schemas)) : null,
    el("h4", {}, "Answers"), table(responses));
};
const frameEntry = (message, schemas) => el("details", { className: "entry" },
  el("summary", {}, el("span", { className: "path" }, message.name), " ", message.summary),
  el("p", {}, `Socket.IO: ${message["x-socket-io-event"]}`), table(fields(message.payload, schemas)));
const schemaEntry = ([name, schema], schemas) => el("details", { className: "entry" },
  el("summary", {}, el("span", { className: "path" }, name)), el("p", {}, schema.description || ""),
  table(fields(schema, schemas)) || el("code", {}, typeOf(schema)));

Promise.all(["/api/v1/openapi.json", "/api/v1/asyncapi.json"].map((url) => fetch(url).then((answer) => answer.json())))
  .then(([rest, sockets]) => {
    const byTag = new Map();
    for (const [path, methods] of Object.entries(rest.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const tag = (operation.tags || ["other"])[0];
        byTag.set(tag, [...(byTag.get(tag) || []), restEntry(method, path, operation, rest.components.schemas)]);
      }
    }
    const schemas = { ...sockets.components.schemas, ...rest.components.schemas };
    main.replaceChildren(
      ...[...byTag].map(([tag, entries]) => section(`REST: ${tag}`, entries)),
      section("Sockets: what a client asks", Object.values(sockets.channels.requests.messages).map((m) => frameEntry(m, schemas))),
      section("Sockets: what the server tells", Object.values(sockets.channels.events.messages).map((m) => frameEntry(m, schemas))),
      section("Shapes", Object.entries(schemas).sort().map((entry) => schemaEntry(entry, schemas))));
  })
  .catch((error) => main.replaceChildren(el("p", {}, `The documents could not be read: ${error.message}. Reload the page.`)));

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const entry of document.querySelectorAll(".entry")) {
    entry.hidden = wanted !== "" && !entry.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
});
