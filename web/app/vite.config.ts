import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { VitePWA } from "vite-plugin-pwa";
import { emoji } from "./build/emoji.ts";

const server = process.env["TERTULIA_URL"] ?? "http://127.0.0.1:4000";
/** Another build of the client, such as one under development elsewhere. */
const client = process.env["TERTULIA_CLIENT"];

const proxied = Object.fromEntries(["/api", "/auth", "/messages", "/socket.io"].map((path) => [path, { target: server, ws: true }]));

export default defineConfig({
  plugins: [
    react(),
    tailwindcss(),
    emoji(),
    VitePWA({
      registerType: "prompt",
      injectRegister: null,
      manifest: {
        id: "/",
        name: "Tertulia",
        short_name: "Tertulia",
        description: "Chat that works without a network.",
        start_url: "/",
        scope: "/",
        display: "standalone",
        background_color: "#faf7f4",
        theme_color: "#faf7f4",
        categories: ["social", "communication"],
        icons: [
          { src: "/icons/icon-192.png", sizes: "192x192", type: "image/png" },
          { src: "/icons/icon-512.png", sizes: "512x512", type: "image/png" },
          { src: "/icons/maskable-512.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
          { src: "/icons/icon.svg", sizes: "any", type: "image/svg+xml" },
        ],
      },
      // The worker notifies too, so it is a program of ours, with the list of files put in.
      strategies: "injectManifest",
      srcDir: "src/worker",
      filename: "sw.ts",
      injectManifest: {
        globPatterns: ["**/*.{html,js,css,wasm,svg,png,webmanifest}", "**/inter-latin-*.woff2"],
        // A module that was built quickly, for development, is large.
        maximumFileSizeToCacheInBytes: 16 * 1024 * 1024,
        rollupFormat: "iife",
        sourcemap: false,
      },
    }),
  ],
  resolve: {
    conditions: ["tertulia-source", "module", "browser", "development|production"],
    alias: client === undefined ? {} : { "@tertulia/client": client },
  },
  worker: { format: "es" },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: proxied },
  preview: { proxy: proxied },
});
