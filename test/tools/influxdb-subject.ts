// A real InfluxDB and every way around Hallpass into it: as its admin, as an agent, and into the file of its users.

import { readFileSync } from 'node:fs'
import { influxdbTarget } from '../../src/adapters/targets/influxdb.ts'
import type { Secret } from '../../src/core/secret.ts'
import type { Subject } from '../contracts/target.ts'
import { startInfluxDb } from './start-influxdb.ts'
import { waitUntil } from './wait-until.ts'

export async function influxdbSubject(): Promise<Subject> {
  const influx = await startInfluxDb()
  const query = async (authorization: string, q: string, db = '') => {
    const answer = await fetch(`${influx.url}/query`, {
      method: 'POST',
      headers: { authorization },
      body: new URLSearchParams({ q, db }),
    })
    return { status: answer.status, text: await answer.text() }
  }
  const asAdmin = async (q: string): Promise<unknown[][]> => {
    const { status, text } = await query(`Basic ${btoa(influx.admin)}`, q)
    if (status !== 200 || text.includes('"error"')) throw new Error(`${q}: ${text}`)
    return JSON.parse(text).results[0].series?.[0].values ?? []
  }
  const as = (secret: Secret) => `Basic ${secret.reveal()}`
  const write = async (secret: Secret, db: string) =>
    (
      await fetch(`${influx.url}/write?db=${db}`, {
        method: 'POST',
        headers: { authorization: as(secret) },
        body: 'm v=1',
      })
    ).status === 204
  const names = async () => (await asAdmin('SHOW USERS')).map(([name]) => name)

  return {
    url: influx.url,
    admin: influx.admin,
    wrongAdmin: 'admin:Wrong-of-this-test',
    makeTarget: influxdbTarget,
    rights: ['READ:ops', 'WRITE:ops'],
    both: ['ALL:ops'],
    notRights: [
      'ops',
      'read:ops',
      'READ:',
      'READ:o"ps',
      "READ:o'ps",
      'READ:ops;x',
      'READ: ops',
      'ADMIN:ops',
      ' READ:ops',
    ],
    absent: 'READ:elsewhere',
    first: async (secret) => (await query(as(secret), 'SELECT * FROM m', 'ops')).status === 200,
    second: (secret) => write(secret, 'ops'),
    foreign: async (secret) =>
      (await write(secret, 'finance')) ||
      (await query(as(secret), 'SELECT * FROM m', 'finance')).status === 200 ||
      (await query(as(secret), 'CREATE DATABASE mine')).status === 200,
    async inDatabase(name) {
      const isThere = (await names()).includes(name)
      // It is written at the end of a change, which may be under way.
      const isWritten = async () => readFileSync(influx.database).includes(name) === (await names()).includes(name)
      await waitUntil(isWritten, { timeout: 5_000, interval: 25 })
      if (!isThere) return null
      const { text } = await query(`Basic ${btoa(influx.admin)}`, `SHOW GRANTS FOR "${name}"`)
      if (text.includes('user not found')) return null
      const grants: unknown[][] = JSON.parse(text).results[0].series?.[0].values ?? []
      return grants
        .filter(([, privilege]) => privilege !== 'NO PRIVILEGES')
        .map(([database, privilege]) => `${String(privilege).replace(' PRIVILEGES', '')}:${database}`)
        .sort()
    },
    active: async () => (await names()).map(String).filter((name) => name.startsWith('hp-')),
    count: async (name) => (await names()).filter((one) => one === name).length,
    addByHand: async (name) => void (await asAdmin(`CREATE USER "${name}" WITH PASSWORD 'by-hand'`)),
    async widenByHand(name) {
      await asAdmin(`GRANT READ ON finance TO "${name}"`)
      await asAdmin(`GRANT ALL PRIVILEGES TO "${name}"`)
      return 'READ:finance'
    },
    unlockByHand: async (name) => void (await asAdmin(`CREATE USER "${name}" WITH PASSWORD 'by-hand'`)),
    async halve(name) {
      await asAdmin(`REVOKE ALL ON ops FROM "${name}"`)
    },
    changes: ({ path, body }) => path === '/query' && !body.startsWith('q=SHOW+'),
    stop: () => influx.stop(),
  }
}
