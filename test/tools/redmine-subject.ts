// A real Redmine and every way around Hallpass into it: as its administrator, as an agent, and into its own SQLite file.

import Database from 'better-sqlite3'
import { z } from 'zod'
import { redmineTarget } from '../../src/adapters/targets/redmine.ts'
import type { Secret } from '../../src/core/secret.ts'
import type { Subject } from '../contracts/target.ts'
import { startRedmine } from './start-redmine.ts'

const RIGHTS = `SELECT projects.identifier || ':' || roles.name AS right FROM members
  JOIN member_roles ON member_roles.member_id = members.id JOIN roles ON roles.id = member_roles.role_id
  JOIN projects ON projects.id = members.project_id WHERE members.user_id = ? ORDER BY right`

export async function redmineSubject(makeTarget: Subject['makeTarget'] = redmineTarget): Promise<Subject> {
  const redmine = await startRedmine()
  const database = new Database(redmine.database, { readonly: true, timeout: 10_000 })
  const users = (name: string) =>
    z
      .array(z.object({ id: z.number(), status: z.number(), admin: z.number() }))
      .parse(database.prepare('SELECT id, status, admin FROM users WHERE login = ?').all(name))
  const userId = (name: string) => {
    const [found] = users(name)
    if (found === undefined) throw new Error(`Redmine has no user ${name}`)
    return found.id
  }

  const call = async (key: string, method: string, path: string, body?: unknown) => {
    const answer = await fetch(redmine.url + path, {
      method,
      headers: { 'x-redmine-api-key': key, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, text: await answer.text() }
  }
  const asAdmin = async (method: string, path: string, body?: unknown) => {
    const { status, text } = await call(redmine.adminKey, method, path, body)
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`)
    return text
  }
  const issueIn = (project: string) => ({ issue: { project_id: project, tracker_id: 1, subject: 'disk full' } })
  const report = async (secret: Secret, project: string) =>
    (await call(secret.reveal(), 'POST', `/projects/${project}/issues.json`, issueIn(project))).status === 201
  const others = z
    .object({ issue: z.object({ id: z.number() }) })
    .parse(JSON.parse(await asAdmin('POST', '/issues.json', issueIn('ops')))).issue.id
  const roleId = z
    .object({ id: z.number() })
    .parse(database.prepare("SELECT id FROM roles WHERE name = 'Manager'").get()).id
  const group = z
    .object({ group: z.object({ id: z.number() }) })
    .parse(JSON.parse(await asAdmin('POST', '/groups.json', { group: { name: 'managers' } }))).group.id
  await asAdmin('POST', '/projects/finance/memberships.json', { membership: { user_id: group, role_ids: [roleId] } })

  return {
    url: redmine.url,
    admin: redmine.adminKey,
    wrongAdmin: 'f'.repeat(40),
    makeTarget,
    rights: ['ops:Agent-create', 'ops:Agent-read'],
    both: ['ops:Agent-create', 'ops:Agent-read'],
    notRights: [
      'ops',
      ':Agent-read',
      'ops:',
      '1:Agent-read',
      'ops/../finance:Manager',
      'Ops:Agent-read',
      'ops: Manager',
    ],
    absent: 'elsewhere:Agent-read',
    first: (secret) => report(secret, 'ops'),
    second: async (secret) => (await call(secret.reveal(), 'GET', `/issues/${others}.json`)).status === 200,
    foreign: async (secret) =>
      (await report(secret, 'finance')) ||
      (await call(secret.reveal(), 'DELETE', `/issues/${others}.json`)).status < 300 ||
      (await call(secret.reveal(), 'GET', '/users.json')).status === 200,
    async inDatabase(name) {
      const [found] = users(name)
      if (found === undefined || found.status !== 1) return null
      const rights = z.array(z.object({ right: z.string() })).parse(database.prepare(RIGHTS).all(found.id))
      return [...new Set([...(found.admin === 1 ? ['administrator'] : []), ...rights.map(({ right }) => right)])]
    },
    active: async () =>
      z
        .array(z.object({ login: z.string() }))
        .parse(database.prepare("SELECT login FROM users WHERE status = 1 AND login LIKE 'hp-%'").all())
        .map(({ login }) => login),
    count: async (name) => users(name).length,
    async addByHand(login) {
      const user = { login, firstname: 'M', lastname: 'M', mail: `${login}@example.com`, generate_password: true }
      await asAdmin('POST', '/users.json', { user })
    },
    async widenByHand(name) {
      await asAdmin('POST', `/groups/${group}/users.json`, { user_id: userId(name) })
      await asAdmin('PUT', `/users/${userId(name)}.json`, { user: { admin: true } })
      return 'finance:Manager'
    },
    unlockByHand: async (name) => void (await asAdmin('PUT', `/users/${userId(name)}.json`, { user: { status: 1 } })),
    async halve(name) {
      const member = z
        .object({ id: z.number() })
        .parse(database.prepare('SELECT id FROM members WHERE user_id = ?').get(userId(name)))
      await asAdmin('DELETE', `/memberships/${member.id}.json`)
      await asAdmin('PUT', `/users/${userId(name)}.json`, { user: { status: 3 } })
    },
    changes: ({ method }) => method !== 'GET',
    async stop() {
      database.close()
      await redmine.stop()
    },
  }
}
