// A schema of its own for one store under test, in the server that the run started.

import pg from 'pg'

let made = 0

/** Runs SQL from outside the store. */
export async function administer(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}

export type TestSchema = {
  readonly name: string
  /** Every value of every row of every table, as bytes. */
  contents(): Promise<Buffer[]>
  /** Takes away all that was made under this name. */
  drop(): Promise<void>
}

/** A name that is not taken. */
export function freshSchema(url: string): TestSchema {
  const name = `hallpass_${process.pid}_${++made}`
  return {
    name,
    async contents() {
      const tables = await administer(url, `select tablename from pg_tables where schemaname = '${name}'`)
      const found: Buffer[] = []
      for (const { tablename } of tables.rows) {
        const { rows } = await administer(url, `select * from ${name}.${tablename}`)
        const values = rows.flatMap((row: Record<string, unknown>) => Object.values(row))
        found.push(...values.map((value) => (Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)))))
      }
      return found
    },
    drop: async () => void (await administer(url, `drop schema if exists ${name} cascade`)),
  }
}
