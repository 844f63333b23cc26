import preact from "@preact/preset-vite";
import { defineConfig } from "vitest/config";

/** A running server, for `npm run dev` and `npm run preview`: another one by RUSTSOCKS_API. */
const server = process.env.RUSTSOCKS_API ?? "http://127.0.0.1:9090";

const proxy = Object.fromEntries(
  ["/api", "/health", "/ready", "/metrics"].map((path) => [
    path,
    {
      target: server,
      changeOrigin: true,
      // The server compares Origin with Host, which is its own here.
      headers: { origin: server },
    },
  ]),
);

export default defineConfig({
  base: "./",
  plugins: [preact({ devToolsEnabled: false })],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy },
  preview: { proxy },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
