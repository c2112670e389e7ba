import { defineConfig } from "vitest/config";
import { emoji } from "./build/emoji.ts";

export default defineConfig({ plugins: [emoji()], test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] } });
