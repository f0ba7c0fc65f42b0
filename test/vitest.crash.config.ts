import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/crash/**/*.test.ts'],
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 900_000,
    hookTimeout: 300_000,
    // Most of it only waits: other files run meanwhile.
    maxWorkers: 3,
  },
})
