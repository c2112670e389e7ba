import { defineConfig } from "vitest/config";

/** One browser and one server at a time: what is measured here should not wait for its neighbour. */
export default defineConfig({
  test: { include: ["test/**/*.e2e.ts"], fileParallelism: false, testTimeout: 60_000, hookTimeout: 60_000 },
});
