import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/crash/**/*.test.ts'],
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 900_000,
    hookTimeout: 300_000,
    // Some of it only waits: a second file runs meanwhile.
    maxWorkers: 2,
  },
})
