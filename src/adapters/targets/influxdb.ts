// InfluxDB 1.x by InfluxQL with an admin user: one user per account, and one privilege per database. A user is dropped:
// nothing that InfluxDB keeps bears its name.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { Secret } from '../../core/secret.ts'
import { type HeldAccount, type Target, TargetFailure } from '../../core/target.ts'
import { converse, type TargetConfig } from './conversation.ts'
import { sameRights, sortedRights } from './rights.ts'

const WORD = /^(?<privilege>READ|WRITE|ALL):(?<database>[A-Za-z0-9_](?:[A-Za-z0-9._ -]{0,253}[A-Za-z0-9._-])?)$/
/** Of a user who may do everything. */
const ADMINISTRATOR = 'administrator'
const NONE = 'NO PRIVILEGES'
/** As `SHOW GRANTS` names them; a name of InfluxDB's that is none of these stays as it is. */
const PRIVILEGES: Readonly<Record<string, string>> = { READ: 'READ', WRITE: 'WRITE', 'ALL PRIVILEGES': 'ALL' }

const answers = z.object({
  results: z.array(
    z.object({
      error: z.string().optional(),
      series: z
        .array(z.object({ columns: z.array(z.string()), values: z.array(z.array(z.unknown())).default([]) }))
        .default([]),
    }),
  ),
})
const userRow = z.object({ user: z.string(), admin: z.boolean() })
const grantRow = z.object({ database: z.string(), privilege: z.string() })

/** InfluxQL's own escapes, in an identifier. */
const identifier = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`

/** Basic, RFC 7617. */
const basic = (credentials: string) => `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`

/** Database → privilege; READ and WRITE are ALL. Throws where a word is not `READ:`, `WRITE:` or `ALL:` and a database. */
function parse(rights: readonly string[]): Map<string, string> {
  const wanted = new Map<string, string>()
  for (const right of rights) {
    const { privilege, database } = WORD.exec(right)?.groups ?? {}
    if (privilege === undefined || database === undefined) {
      const advice = 'write READ:DATABASE, WRITE:DATABASE or ALL:DATABASE'
      throw new TargetFailure('refused', `${JSON.stringify(right)} is not an InfluxDB right: ${advice}`, {
        mayHaveActed: false,
      })
    }
    const other = wanted.get(database)
    wanted.set(database, other === undefined || other === privilege ? privilege : 'ALL')
  }
  return wanted
}
const wordsOf = (grants: ReadonlyMap<string, string>) =>
  sortedRights([...grants].map(([database, privilege]) => `${privilege}:${database}`))

export function influxdbTarget(config: TargetConfig): Target {
  async function open(signal: AbortSignal) {
    const talk = converse(config, signal)
    const authorization = basic((await config.secret()).reveal())
    /** Its rows. InfluxDB answers 200 to a statement that failed. */
    async function run<T extends z.ZodType>(q: string, changes: boolean, row: T): Promise<z.infer<T>[]> {
      const asked = { method: 'POST', path: '/query', headers: { authorization }, form: { q }, changes } as const
      const [result, ...more] = talk.read(await talk.ask(asked), answers).results
      if (result === undefined || more.length > 0) throw talk.failure('garbled', 'InfluxDB answered another question')
      if (result.error !== undefined) throw talk.failure('refused', `InfluxDB refused ${q.split(' ', 2).join(' ')}`)
      return result.series.flatMap(({ columns, values }) =>
        values.map((value) => {
          const read = row.safeParse(Object.fromEntries(columns.map((column, index) => [column, value[index]])))
          if (!read.success) throw talk.failure('garbled', 'InfluxDB answered rows of another kind')
          return read.data
        }),
      )
    }
    return {
      talk,
      show: <T extends z.ZodType>(q: string, row: T) => run(q, false, row),
      act: async (q: string) => void (await run(q, true, z.unknown())),
    }
  }
  type Open = Awaited<ReturnType<typeof open>>

  async function grantsOf(on: Open, name: string): Promise<Map<string, string>> {
    const rows = await on.show(`SHOW GRANTS FOR ${identifier(name)}`, grantRow)
    const some = rows.filter(({ privilege }) => privilege !== NONE)
    return new Map(some.map(({ database, privilege }) => [database, PRIVILEGES[privilege] ?? privilege]))
  }

  async function held(on: Open, { user, admin }: z.infer<typeof userRow>): Promise<HeldAccount> {
    const words = wordsOf(await grantsOf(on, user))
    return { name: user, external: user, active: true, rights: sortedRights(admin ? [ADMINISTRATOR, ...words] : words) }
  }

  const users = (on: Open) => on.show('SHOW USERS', userRow)

  async function look(on: Open, name: string): Promise<HeldAccount | null> {
    const found = (await users(on)).find(({ user }) => user === name)
    return found === undefined ? null : await held(on, found)
  }

  /** Grants of exactly these rights: first what is too much, then what is missing. */
  async function settle(on: Open, { name, rights }: HeldAccount, wanted: ReadonlyMap<string, string>): Promise<void> {
    const to = identifier(name)
    if (rights.includes(ADMINISTRATOR)) await on.act(`REVOKE ALL PRIVILEGES FROM ${to}`)
    const grants = await grantsOf(on, name)
    for (const database of grants.keys())
      if (!wanted.has(database)) await on.act(`REVOKE ALL ON ${identifier(database)} FROM ${to}`)
    for (const [database, privilege] of wanted)
      if (grants.get(database) !== privilege) await on.act(`GRANT ${privilege} ON ${identifier(database)} TO ${to}`)
  }

  /** A grant on a database that is not there is taken by InfluxDB, and would come true with the database. */
  async function expectDatabases(on: Open, wanted: ReadonlyMap<string, string>): Promise<void> {
    const there = new Set((await on.show('SHOW DATABASES', z.object({ name: z.string() }))).map(({ name }) => name))
    for (const database of wanted.keys())
      if (!there.has(database)) throw on.talk.failure('refused', `InfluxDB has no database ${JSON.stringify(database)}`)
  }

  async function expectHeld(on: Open, name: string, wanted: ReadonlyMap<string, string>): Promise<void> {
    const now = await look(on, name)
    if (now === null || !sameRights(now.rights, wordsOf(wanted)))
      throw on.talk.failure('refused', 'InfluxDB answered, and the user is not as it was asked for')
  }

  return {
    capabilities: {
      scope: 'exact',
      expires: false,
      lists: true,
      revokes: true,
      probes: true,
      deadWithinMilliseconds: 1000,
      presents: { header: 'authorization', prefix: 'Basic ' },
    },

    canonical: (rights) => wordsOf(parse(rights)),

    async create({ name, rights }, signal) {
      const on = await open(signal)
      const wanted = parse(rights)
      await expectDatabases(on, wanted)
      const password = randomBytes(32).toString('base64url')
      const isThere = (await users(on)).some(({ user }) => user === name)
      const user = identifier(name)
      await on.act(
        isThere ? `SET PASSWORD FOR ${user} = '${password}'` : `CREATE USER ${user} WITH PASSWORD '${password}'`,
      )
      const found = await look(on, name)
      if (found === null) throw on.talk.failure('refused', 'InfluxDB did not make the user')
      await settle(on, found, wanted)
      await expectHeld(on, name, wanted)
      return { external: name, secret: new Secret(Buffer.from(`${name}:${password}`, 'utf8').toString('base64')) }
    },

    async setRights({ name }, rights, signal) {
      const on = await open(signal)
      const wanted = parse(rights)
      const found = await look(on, name)
      if (found === null) throw on.talk.failure('refused', 'InfluxDB does not have the user')
      await expectDatabases(on, wanted)
      await settle(on, found, wanted)
      await expectHeld(on, name, wanted)
    },

    async remove({ name }, signal) {
      const on = await open(signal)
      const isThere = async () => (await users(on)).some(({ user }) => user === name)
      if (!(await isThere())) return
      await on.act(`DROP USER ${identifier(name)}`)
      if (await isThere()) throw on.talk.failure('refused', 'InfluxDB answered, and still has the user')
    },

    async look({ name }, signal) {
      return await look(await open(signal), name)
    },

    async probe(secret, signal) {
      const talk = converse(config, signal)
      const headers = { authorization: `Basic ${secret.reveal()}` }
      const form = { q: 'SHOW DATABASES' }
      const answer = await talk.ask({ method: 'POST', path: '/query', headers, form, changes: false, also: [401] })
      if (answer.status === 401) return 'dead'
      talk.read(answer, answers)
      return 'alive'
    },

    async list(limit, signal) {
      const on = await open(signal)
      const found = await users(on)
      if (found.length > limit) throw on.talk.failure('refused', `InfluxDB holds more than ${limit} users`)
      const accounts: HeldAccount[] = []
      for (const user of found) accounts.push(await held(on, user))
      return accounts
    },
  }
}
