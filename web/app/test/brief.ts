import type { Reporter, TestModule } from "vitest/node";

/** One line for each failure, last of all: where only the end of an output is kept, it has to say what failed. */
export class Brief implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const test of modules.flatMap((module) => [...module.children.allTests("failed")])) {
      const [first = ""] = (test.result().errors?.[0]?.message ?? "").split("\n");
      console.log(`failed: ${test.module.relativeModuleId} ${test.fullName}: ${first}`);
    }
  }
}
