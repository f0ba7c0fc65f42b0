// The store's contract on PostgreSQL, and what is true of this engine alone.

import { inject } from 'vitest'
import { openPostgresStore } from '../../src/adapters/store/postgres/postgres-store.ts'
import { administer, freshSchema } from '../support/postgres-schema.ts'
import { type Opened, type OpenOptions, storeContract } from './store-contract.ts'
import { testClock } from './store-fixtures.ts'

const url = inject('postgresUrl')

async function open(options: OpenOptions = {}): Promise<Opened> {
  const schema = freshSchema(url)
  const clock = testClock()
  const openStore = () => openPostgresStore({ url, schema: schema.name, clock, ...options })
  let store = await openStore()
  return {
    store,
    clock,
    child: ['postgres', url, schema.name],
    async reopen() {
      await store.close()
      store = await openStore()
      return store
    },
    second: openStore,
    async breakWrites() {
      const name = schema.name
      await administer(
        url,
        `create function ${name}.no_space() returns trigger language plpgsql as
           $$ begin raise exception 'no space left'; end $$;
         create trigger no_space before update on ${name}.head for each row execute function ${name}.no_space()`,
      )
      return async () =>
        void (await administer(url, `drop trigger no_space on ${name}.head; drop function ${name}.no_space()`))
    },
    async close() {
      await store.close()
      await schema.drop()
    },
  }
}

storeContract('PostgreSQL', open, { isExclusive: false })
