import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/tools/**',
      'test/examples/**',
      'test/crash/**',
      'test/model/**',
      'test/attacks/weakened.test.ts',
      'test/contracts/postgres.test.ts',
      'test/postgres/**',
      '**/node_modules/**',
    ],
    // Real sockets, processes and disks on a busy machine: CI says again what it says, once; by hand nothing is repeated.
    retry: process.env.CI === undefined ? 0 : 1,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
})
