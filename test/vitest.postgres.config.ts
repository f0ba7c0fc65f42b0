// The contract and everything that a store is under, on PostgreSQL. What starts and crashes servers of its own runs beside
// the rest. A test file that is not named here runs; what is excluded says why.

import { defineConfig } from 'vitest/config'

const NO_STORE = 'there is no store in it'
const SQLITE = 'about the SQLite file, its thread, its lock or its disk'
const ITS_OWN_RUN = 'a run of its own, of which nothing depends on the engine'

const EXCLUDED: Readonly<Record<string, string>> = {
  'test/{core,manifests,guard,vectors,examples}/**': NO_STORE,
  'test/{architecture,config}.test.ts': NO_STORE,
  'test/adapters/{manifest-folder,system/*,keys/jose-signature,keys/kek}.test.ts': NO_STORE,
  'test/contracts/queue.test.ts': NO_STORE,
  'test/attacks/upstream-places.test.ts': NO_STORE,
  'test/cli/{audit-verify,remote,scopes,show,usage}.test.ts': NO_STORE,
  'test/contracts/{sqlite,full-disk,writer-thread}.test.ts': SQLITE,
  'test/crash/**': `${SQLITE}: better-sqlite3 is wrapped to die at each commit; test/postgres has the faults of a server`,
  'test/walks/backup.test.ts': SQLITE,
  'test/walks/demo.test.ts': 'the demo is on the embedded store by contract',
  'test/tools/**': ITS_OWN_RUN,
  'test/clients/**': ITS_OWN_RUN,
  'test/conformance/**': ITS_OWN_RUN,
  'test/attacks/weakened.test.ts': ITS_OWN_RUN,
}

const OWN_SERVERS = ['test/contracts/postgres.test.ts', 'test/postgres/**/*.test.ts']

const onPostgres = {
  root: new URL('..', import.meta.url).pathname,
  globalSetup: ['test/support/postgres-cluster.ts'],
  env: { HALLPASS_TEST_STORE: 'postgres' },
  expect: { poll: { timeout: 10_000 } },
  testTimeout: 120_000,
  hookTimeout: 120_000,
  maxWorkers: 3,
}

export default defineConfig({
  test: {
    projects: [
      { test: { ...onPostgres, name: 'server', include: OWN_SERVERS, maxWorkers: 1 } },
      {
        test: {
          ...onPostgres,
          name: 'store',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...OWN_SERVERS, ...Object.keys(EXCLUDED)],
        },
      },
    ],
  },
})
