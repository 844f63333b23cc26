import { defineConfig } from "vitest/config";

/**
 * The browser tests; with `--mode screenshots` or `--mode numbers`, the file of that name instead.
 * Each file has a server and a browser of its own; two cores do not serve several of them well.
 */
export default defineConfig(({ mode }) => ({
  test: {
    root: import.meta.dirname,
    include: [mode === "test" ? "*.test.ts" : `${mode}.ts`],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
}));
