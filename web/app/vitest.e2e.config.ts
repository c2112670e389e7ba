import { defineConfig } from "vitest/config";
import { Brief } from "./test/brief.ts";

/** One file at a time: what is measured should not wait for its neighbour. */
export default defineConfig({
  test: { include: ["test/**/*.e2e.ts"], globalSetup: ["test/setup.ts"], fileParallelism: false, reporters: ["default", new Brief()], testTimeout: 600_000, hookTimeout: 300_000 },
});
