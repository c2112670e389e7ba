import { defineConfig } from "vite";

const server = process.env["TERTULIA_URL"] ?? "http://127.0.0.1:4000";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic" } },
  resolve: { conditions: ["tertulia-source", "module", "browser", "development|production"] },
  worker: { format: "es" },
  server: { proxy: Object.fromEntries(["/api", "/auth", "/messages"].map((path) => [path, { target: server, ws: true }])) },
});
