import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/tools/**',
      'test/examples/**',
      'test/clients/**',
      'test/conformance/**',
      'test/crash/**',
      'test/model/**',
      'test/attacks/weakened.test.ts',
      'test/contracts/postgres.test.ts',
      'test/postgres/**',
      '**/node_modules/**',
    ],
    // A condition that is awaited has as long as a busy machine needs: speed is the bench's to measure.
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Most tests wait (for a disk, a child, a second to pass): more of them than cores keep two cores busy.
    maxWorkers: 3,
  },
})
