import { defineConfig } from 'vitest/config'

// The contract, and everything that runs on a store, on PostgreSQL.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: [
      'test/contracts/postgres.test.ts',
      'test/actions/**/*.test.ts',
      'test/adapters/keys/signer.test.ts',
      'test/{attacks,console,http,mcp,oauth,verifiers}/**/*.test.ts',
      'test/walks/{kill,official-clients}.test.ts',
    ],
    globalSetup: ['test/support/postgres-cluster.ts'],
    env: { HALLPASS_TEST_STORE: 'postgres' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
})
