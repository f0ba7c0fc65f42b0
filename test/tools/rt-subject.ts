// A real Request Tracker and every way around Hallpass into it: as root, as an agent, and into its own SQLite file.

import Database from 'better-sqlite3'
import { z } from 'zod'
import { rtTarget } from '../../src/adapters/targets/rt.ts'
import type { Secret } from '../../src/core/secret.ts'
import type { Subject } from '../contracts/target.ts'
import { startRequestTracker } from './start-rt.ts'

const USERS = `SELECT Users.id, Principals.Disabled FROM Users JOIN Principals ON Principals.id = Users.id WHERE Name = ?`
const ACTIVE = `SELECT Name FROM Users JOIN Principals ON Principals.id = Users.id WHERE Disabled = 0 AND Name LIKE 'hp-%'`
const GROUPS = `SELECT Groups.Name FROM GroupMembers JOIN Groups ON Groups.id = GroupMembers.GroupId
  WHERE Groups.Domain = 'UserDefined' AND GroupMembers.MemberId = ? ORDER BY Groups.Name`

export async function rtSubject(): Promise<Subject> {
  const rt = await startRequestTracker()
  const database = new Database(rt.database, { readonly: true, timeout: 10_000 })
  const users = (name: string) =>
    z.array(z.object({ id: z.number(), Disabled: z.number() })).parse(database.prepare(USERS).all(name))
  const groupId = (name: string) =>
    z
      .object({ id: z.number() })
      .parse(database.prepare("SELECT id FROM Groups WHERE Name = ? AND Domain = 'UserDefined'").get(name)).id

  const call = async (authorization: string, method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${rt.url}/REST/2.0${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, text: await answer.text() }
  }
  const byHand = async (method: string, path: string, body?: unknown) => {
    const { status, text } = await call(`Basic ${btoa(rt.root)}`, method, path, body)
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`)
    return text
  }
  const as = (secret: Secret) => `token ${secret.reveal()}`
  const report = async (secret: Secret, queue: string) =>
    (await call(as(secret), 'POST', '/ticket', { Queue: queue, Subject: 'disk full' })).status === 201
  const ticket = z
    .object({ id: z.string() })
    .parse(JSON.parse(await byHand('POST', '/ticket', { Queue: 'Ops', Subject: "another's" }))).id
  const wider = z
    .object({ id: z.string() })
    .parse(JSON.parse(await byHand('POST', '/group', { Name: 'finance staff' })))

  return {
    url: rt.url,
    admin: rt.admin,
    wrongAdmin: 'hallpass:Wrong-of-this-test',
    makeTarget: rtTarget,
    rights: ['scope-ops-create', 'scope-ops-read'],
    both: ['scope-ops-create', 'scope-ops-read'],
    notRights: ['"quoted"', 'a\tb', ' scope-ops-read', 'scope-ops-read ', 'a"},{"field":"id"'],
    absent: 'scope-elsewhere',
    first: (secret) => report(secret, 'Ops'),
    second: async (secret) => (await call(as(secret), 'GET', `/ticket/${ticket}`)).status === 200,
    foreign: async (secret) =>
      (await report(secret, 'Finance')) ||
      (await call(as(secret), 'DELETE', `/ticket/${ticket}`)).status < 300 ||
      (await call(as(secret), 'POST', '/user', { Name: 'mine' })).status === 201,
    async inDatabase(name) {
      const [found] = users(name)
      if (found === undefined || found.Disabled !== 0) return null
      return z
        .array(z.object({ Name: z.string() }))
        .parse(database.prepare(GROUPS).all(found.id))
        .map(({ Name }) => Name)
    },
    active: async () =>
      z
        .array(z.object({ Name: z.string() }))
        .parse(database.prepare(ACTIVE).all())
        .map(({ Name }) => Name),
    count: async (name) => users(name).length,
    addByHand: async (Name) => void (await byHand('POST', '/user', { Name, Privileged: 1 })),
    async widenByHand(name) {
      await byHand('PUT', `/user/${name}/groups`, [wider.id])
      return 'finance staff'
    },
    unlockByHand: async (name) => void (await byHand('PUT', `/user/${name}`, { Disabled: 0 })),
    async halve(name) {
      await byHand('DELETE', `/user/${name}/group/${groupId('scope-ops-read')}`)
      await byHand('PUT', `/user/${name}`, { Privileged: 0 })
      await byHand('DELETE', `/user/${name}`)
    },
    changes: ({ method, path }) => method !== 'GET' && path !== '/NoAuth/Login.html',
    async stop() {
      database.close()
      await rt.stop()
    },
  }
}
