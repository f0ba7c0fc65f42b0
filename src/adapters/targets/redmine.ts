// Redmine 5 over its REST API with an administrator's key: one user per account, and one membership per project with the
// granted roles. A user is locked and never deleted: a deletion takes its name off everything it wrote.

import { z } from 'zod'
import { Secret } from '../../core/secret.ts'
import type { HeldAccount, Target } from '../../core/target.ts'
import { type Asked, converse, parseJson, type TargetConfig } from './conversation.ts'
import {
  faultsIn,
  givableRoles,
  type ListedUser,
  madeUser,
  members,
  parseRight,
  project,
  projects,
  type User,
  user,
  users,
} from './redmine-answers.ts'
import { sameRights, sortedRights } from './rights.ts'

const KEY_HEADER = 'x-redmine-api-key'
const ACTIVE = 1
const REGISTERED = 2
const LOCKED = 3
/** Rows of a list that Redmine gives at once. */
const PAGE = 100
const PROJECTS_MAX = 2000
/** Characters of a last name. */
const NAME_MAX = 30
/** Where people may work at all: an archived project has no members. */
const OPEN_AND_CLOSED_PROJECTS = '1|5'

const ADMINISTRATOR = 'administrator'

const isInheriting = ({ memberships }: User) =>
  memberships.some(({ roles }) => roles.some(({ inherited }) => inherited))

export function redmineTarget(config: TargetConfig): Target {
  /** One call of the port: everything is asked with the administrator's key. */
  async function open(signal: AbortSignal) {
    const talk = converse(config, signal)
    const headers = { [KEY_HEADER]: (await config.secret()).reveal() }
    const ask = (asked: Asked) => talk.ask({ ...asked, headers })
    return { talk, ask, identifiers: new Map<number, string>() }
  }
  type Open = Awaited<ReturnType<typeof open>>

  /** Every row of a list, at most `limit`. */
  async function all<T>(
    { talk }: Open,
    limit: number,
    page: (offset: number) => Promise<{ readonly total: number; readonly rows: readonly T[] }>,
  ): Promise<T[]> {
    const found: T[] = []
    for (;;) {
      const { total, rows } = await page(found.length)
      found.push(...rows)
      if (total > limit || found.length > limit) throw talk.failure('refused', `the tool holds more than ${limit}`)
      if (found.length >= total) return found
      if (rows.length === 0) throw talk.failure('garbled', 'a list ends before its own count')
    }
  }

  const usersOf = (on: Open, limit: number, query: Readonly<Record<string, string>>) =>
    all(on, limit, async (offset) => {
      const answer = await on.ask({
        method: 'GET',
        path: '/users.json',
        query: { ...query, limit: String(PAGE), offset: String(offset), sort: 'id' },
      })
      const { total_count, users: rows } = on.talk.read(answer, users)
      return { total: total_count, rows }
    })

  /** By its login, whatever its status; null where there is none. */
  async function find(on: Open, name: string): Promise<User | null> {
    for (const status of [ACTIVE, LOCKED, REGISTERED]) {
      const like = await usersOf(on, PAGE, { name, status: String(status) })
      const found = like.find(({ login }) => login === name)
      if (found !== undefined) return await read(on, found.id)
    }
    return null
  }

  async function read(on: Open, id: number): Promise<User> {
    const query = { include: 'memberships,groups' }
    return on.talk.read(await on.ask({ method: 'GET', path: `/users/${id}.json`, query }), user).user
  }

  async function identifierOf(on: Open, id: number): Promise<string> {
    const known = on.identifiers.get(id)
    if (known !== undefined) return known
    const answer = await on.ask({ method: 'GET', path: `/projects/${id}.json` })
    const { identifier } = on.talk.read(answer, z.object({ project })).project
    on.identifiers.set(id, identifier)
    return identifier
  }

  async function held(on: Open, found: User): Promise<HeldAccount> {
    const rights: string[] = found.admin ? [ADMINISTRATOR] : []
    for (const { project, roles } of found.memberships) {
      const identifier = await identifierOf(on, project.id)
      rights.push(...roles.map(({ name }) => `${identifier}:${name}`))
    }
    return {
      name: found.login,
      external: String(found.id),
      active: found.status === ACTIVE,
      rights: sortedRights(rights),
    }
  }

  async function create(on: Open, name: string, label: string): Promise<User> {
    const answer = await on.ask({
      method: 'POST',
      path: '/users.json',
      json: {
        user: {
          login: name,
          firstname: 'Hallpass',
          lastname: label.slice(0, NAME_MAX).trim() || name,
          mail: `${name}@agents.invalid`,
          mail_notification: 'none',
          generate_password: true,
        },
      },
      also: [422],
    })
    const made = madeUser.safeParse(parseJson(answer.text))
    const found = made.success ? await read(on, made.data.user.id) : await find(on, name)
    if (found?.login !== name)
      throw on.talk.failure('refused', `Redmine did not make the user: ${faultsIn(answer.text)}`)
    return found
  }

  /** Memberships of exactly these rights: first what is too much, then what is missing. */
  async function settle(on: Open, found: User, rights: readonly string[]): Promise<void> {
    const wanted = new Map<string, Set<string>>()
    for (const right of rights) {
      const { project, role } = parseRight(right)
      wanted.set(project, (wanted.get(project) ?? new Set()).add(role))
    }
    const inherits = isInheriting(found)
    if (found.admin || inherits) {
      const user = { admin: false, group_ids: [] }
      await on.ask({ method: 'PUT', path: `/users/${found.id}.json`, json: { user } })
    }
    const kept = new Map<string, { readonly id: number; readonly roles: readonly string[] }>()
    for (const { id, project, roles } of inherits ? (await read(on, found.id)).memberships : found.memberships) {
      const identifier = await identifierOf(on, project.id)
      if (wanted.has(identifier)) kept.set(identifier, { id, roles: roles.map(({ name }) => name) })
      else await on.ask({ method: 'DELETE', path: `/memberships/${id}.json`, also: [404] })
    }
    const ids = wanted.size === 0 ? new Map<string, number>() : await roleIds(on)
    for (const [identifier, names] of wanted) {
      const role_ids = [...names].map((name) => {
        const id = ids.get(name)
        if (id === undefined) throw on.talk.failure('refused', `Redmine has no role ${JSON.stringify(name)} to give`)
        return id
      })
      const present = kept.get(identifier)
      if (present === undefined) await join(on, found.id, identifier, role_ids)
      else if (!sameRights(present.roles, [...names])) {
        const path = `/memberships/${present.id}.json`
        await on.ask({ method: 'PUT', path, json: { membership: { role_ids } } })
      }
    }
  }

  async function join(on: Open, userId: number, identifier: string, role_ids: readonly number[]): Promise<void> {
    const path = `/projects/${identifier}`
    const answer = await on.ask({ method: 'GET', path: `${path}.json`, also: [404] })
    const isThere =
      answer.status !== 404 && on.talk.read(answer, z.object({ project })).project.identifier === identifier
    if (!isThere) throw on.talk.failure('refused', `Redmine has no project ${JSON.stringify(identifier)}`)
    const json = { membership: { user_id: userId, role_ids } }
    const joined = await on.ask({ method: 'POST', path: `${path}/memberships.json`, json, also: [422] })
    if (joined.status === 422)
      throw on.talk.failure('refused', `Redmine did not make the user a member: ${faultsIn(joined.text)}`)
  }

  async function roleIds(on: Open): Promise<Map<string, number>> {
    const answer = on.talk.read(await on.ask({ method: 'GET', path: '/roles.json' }), givableRoles)
    return new Map(answer.roles.map(({ id, name }) => [name, id]))
  }

  async function setStatus(on: Open, { id }: User, status: number): Promise<void> {
    await on.ask({ method: 'PUT', path: `/users/${id}.json`, json: { user: { status } } })
  }

  /** What is there afterwards, by reading: a PUT of what Redmine ignores is answered with 204 too. */
  async function expectHeld(on: Open, { id }: User, rights: readonly string[], active: boolean): Promise<User> {
    const found = await read(on, id)
    const now = await held(on, found)
    if (now.active !== active || !sameRights(now.rights, rights)) {
      const why = isInheriting(found) ? ': it inherits roles, of a group or of a parent project' : ''
      throw on.talk.failure('refused', `Redmine answered, and the user is not as it was asked for${why}`)
    }
    return found
  }

  return {
    capabilities: {
      scope: 'exact',
      expires: false,
      lists: true,
      revokes: true,
      probes: true,
      deadWithinMilliseconds: 1000,
      presents: { header: KEY_HEADER, prefix: '' },
    },

    canonical(rights) {
      for (const right of rights) parseRight(right)
      return sortedRights(rights)
    },

    async create({ name, rights, label }, signal) {
      const on = await open(signal)
      for (const right of rights) parseRight(right)
      const found = (await find(on, name)) ?? (await create(on, name, label))
      await settle(on, found, rights)
      if (found.status !== ACTIVE) await setStatus(on, found, ACTIVE)
      const made = await expectHeld(on, found, rights, true)
      return { external: String(made.id), secret: new Secret(made.api_key) }
    },

    async setRights({ name }, rights, signal) {
      const on = await open(signal)
      const found = await find(on, name)
      if (found === null) throw on.talk.failure('refused', 'Redmine does not have the user')
      await settle(on, found, rights)
      await expectHeld(on, found, rights, found.status === ACTIVE)
    },

    async remove({ name }, signal) {
      const on = await open(signal)
      const found = await find(on, name)
      if (found === null) return
      if (found.status !== LOCKED) await setStatus(on, found, LOCKED)
      await settle(on, found, [])
      await expectHeld(on, found, [], false)
    },

    async look({ name }, signal) {
      const on = await open(signal)
      const found = await find(on, name)
      return found === null ? null : await held(on, found)
    },

    async probe(secret, signal) {
      const talk = converse(config, signal)
      const headers = { [KEY_HEADER]: secret.reveal() }
      const answer = await talk.ask({ method: 'GET', path: '/users/current.json', headers, also: [401] })
      if (answer.status === 401) return 'dead'
      talk.read(answer, z.object({ user: z.object({ login: z.string() }) }))
      return 'alive'
    },

    async list(limit, signal) {
      const on = await open(signal)
      const found: (ListedUser & { readonly active: boolean })[] = []
      for (const status of [ACTIVE, LOCKED, REGISTERED]) {
        const some = await usersOf(on, limit - found.length, { status: String(status) })
        found.push(...some.map((one) => ({ ...one, active: status === ACTIVE })))
      }
      const rights = await rightsByUser(on)
      return found.map(({ id, login, admin, active }) => ({
        name: login,
        external: String(id),
        active,
        rights: sortedRights([...(admin ? [ADMINISTRATOR] : []), ...(rights.get(id) ?? [])]),
      }))
    },
  }

  /** Read project by project: there are fewer of them than of users. */
  async function rightsByUser(on: Open): Promise<Map<number, string[]>> {
    const paged = (offset: number) => ({ limit: String(PAGE), offset: String(offset) })
    const found = await all(on, PROJECTS_MAX, async (offset) => {
      const query = { ...paged(offset), status: OPEN_AND_CLOSED_PROJECTS }
      const answer = on.talk.read(await on.ask({ method: 'GET', path: '/projects.json', query }), projects)
      return { total: answer.total_count, rows: answer.projects }
    })
    const rights = new Map<number, string[]>()
    for (const { id, identifier } of found) {
      const memberships = await all(on, Number.MAX_SAFE_INTEGER, async (offset) => {
        const path = `/projects/${id}/memberships.json`
        const answer = on.talk.read(await on.ask({ method: 'GET', path, query: paged(offset) }), members)
        return { total: answer.total_count, rows: answer.memberships }
      })
      for (const { user, roles } of memberships) {
        if (user === undefined) continue
        const words = roles.map(({ name }) => `${identifier}:${name}`)
        rights.set(user.id, [...(rights.get(user.id) ?? []), ...words])
      }
    }
    return rights
  }
}
