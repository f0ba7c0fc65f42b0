import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/attacks/weakened.test.ts'],
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
})
