// Commits without end over the store that its arguments name, and prints a line once each is acknowledged.
// The contract suite kills it in the middle.

import { openPostgresStore } from '../../src/adapters/store/postgres/postgres-store.ts'
import { openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { committed, sealed, testClock, tool } from './store-fixtures.ts'

const [engine, place, schema] = process.argv.slice(2)
if (place === undefined) throw new Error('usage: committing-child.ts sqlite PATH | postgres URL SCHEMA')
const clock = testClock()
const store =
  engine === 'postgres'
    ? await openPostgresStore({ url: place, clock, ...(schema === undefined ? {} : { schema }) })
    : await openSqliteStore({ path: place, clock, reserveBytes: 65_536, intentBytes: 65_536 })

async function commitForEver(lane: number): Promise<never> {
  for (let round = 0; ; round++) {
    const id = `cmt_${process.pid}_${lane}_${round}`
    const bytes = () => new TextEncoder().encode(JSON.stringify({ id }))
    const { first, last } = await committed(store, {
      id,
      put: [tool(id)],
      records: [sealed({ bytes: bytes() }), sealed({ bytes: bytes() })],
    })
    process.stdout.write(`${JSON.stringify({ id, first, last })}\n`)
  }
}

await Promise.all([1, 2, 3, 4].map(commitForEver))
