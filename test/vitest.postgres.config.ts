import { defineConfig } from 'vitest/config'

const onPostgres = {
  root: new URL('..', import.meta.url).pathname,
  globalSetup: ['test/support/postgres-cluster.ts'],
  env: { HALLPASS_TEST_STORE: 'postgres' },
  testTimeout: 60_000,
  hookTimeout: 60_000,
  maxWorkers: 3,
}

// The contract, and everything that runs on a store, on PostgreSQL: side by side, each with a server of its own, because
// the contract crashes its server.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...onPostgres,
          name: 'contract',
          include: ['test/contracts/postgres.test.ts'],
        },
      },
      {
        test: {
          ...onPostgres,
          name: 'everything on a store',
          include: [
            'test/actions/**/*.test.ts',
            'test/adapters/keys/signer.test.ts',
            'test/{attacks,console,http,mcp,oauth,verifiers}/**/*.test.ts',
            'test/walks/{kill,official-clients}.test.ts',
          ],
        },
      },
    ],
  },
})
