// Request Tracker 5 over REST 2.0 in a web session of its administrator: one user per account, a member of the groups that
// RT's own administrators prepared, with an auth token that only RT's web form makes. A user is disabled and never deleted;
// its tokens stay with it, since SQLite gives the number of a deleted one to the next.
//
// Whoever may make tokens for others may make one for root: the account that Hallpass uses is root's equal in RT.

import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { Secret } from '../../core/secret.ts'
import { type HeldAccount, type Target, TargetFailure } from '../../core/target.ts'
import { type Asked, converse, type TargetConfig } from './conversation.ts'
import type { HttpAnswer } from './http-call.ts'
import { sameRights, sortedRights } from './rights.ts'

const LOGIN = '/NoAuth/Login.html'
const TOKENS = '/Admin/Users/AuthTokens.html'
const NAMES = '/Helpers/Autocomplete/Users'
const REST = '/REST/2.0/'
/** Rows of a list that RT gives at most at once. */
const PAGE = 100
const GROUPS_MAX = 5000

/** A group's name. RT's own groups are no rights of anybody's. */
const WORD = /^[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}._ :/@-]{0,198}[\p{L}\p{N}\p{M}._:/@-])?$/u

/** RT writes numbers as texts and truth as 1, "1", 0, "0" or "". */
const flag = z.union([z.number(), z.string()]).transform((value) => value !== '' && Number(value) !== 0)
const number = z.union([z.int().positive(), z.string().regex(/^\d+$/).transform(Number)])
const user = z.object({
  id: number,
  Name: z.string(),
  Disabled: flag,
  Privileged: flag,
  Memberships: z.array(z.object({ id: number })),
})
type User = z.infer<typeof user>
const group = z.object({ id: number, Name: z.string() })
const member = z.object({ id: number })
const suggestions = z.array(z.object({ id: number, value: z.string() }))
const page = <T extends z.ZodType>(row: T) => z.object({ total: z.int().nonnegative(), items: z.array(row) })

/** Throws where a word is no name that a group of people's can have. */
function parse(rights: readonly string[]): readonly string[] {
  const wrong = rights.find((right) => !WORD.test(right))
  if (wrong !== undefined)
    throw new TargetFailure(
      'refused',
      `${JSON.stringify(wrong)} is not a Request Tracker right: write a group's name`,
      { mayHaveActed: false },
    )
  return sortedRights(rights)
}

/** `name=value` of each cookie that an answer sets. */
const cookiesOf = (answer: HttpAnswer) =>
  (answer.headers['set-cookie'] ?? []).map((cookie) => cookie.split(';', 1)[0]).join('; ')

/** RFC 7617. */
const basic = (name: string, password: string) =>
  `Basic ${Buffer.from(`${name}:${password}`, 'utf8').toString('base64')}`

export function rtTarget(config: TargetConfig): Target {
  /** A session of the administrator: RT spends a quarter of a second on each password, so that it is given once. */
  async function open(signal: AbortSignal) {
    const talk = converse(config, signal)
    const [, name, password] = /^([^:]+):(.+)$/su.exec((await config.secret()).reveal()) ?? []
    if (name === undefined || password === undefined)
      throw talk.failure('refused', 'the secret of a Request Tracker is written as user:password')
    const credentials = { user: name, pass: password }
    const login = { method: 'POST', path: LOGIN, form: credentials, changes: false, also: [302] } as const
    const cookie = cookiesOf(await talk.ask(login))
    if (cookie === '') throw talk.failure('garbled', 'Request Tracker opened no session')
    // A change by REST that comes with a session alone is taken for forged, since RT's security update of 2026, unless it
    // says an origin that RT knows as its own. Behind a proxy it may know another: then the password is asked each time.
    const change = { origin: new URL(config.url).origin, authorization: basic(name, password) }
    const ask = (asked: Asked) => {
      const isChange = asked.method !== 'GET' && asked.path.startsWith(REST)
      return talk.ask({ ...asked, headers: { cookie, ...(isChange ? change : {}) } })
    }
    return { talk, ask, credentials }
  }
  type Open = Awaited<ReturnType<typeof open>>

  async function all<T extends z.ZodType>(
    { talk, ask }: Open,
    limit: number,
    path: string,
    row: T,
    query: Readonly<Record<string, string>>,
  ): Promise<z.infer<T>[]> {
    const found: z.infer<T>[] = []
    for (let number = 1; ; number += 1) {
      const pages = { per_page: String(PAGE), page: String(number), orderby: 'id' }
      const answer = await ask({ method: 'GET', path, query: { ...query, ...pages } })
      const { total, items } = talk.read(answer, page(row))
      found.push(...items)
      if (total > limit || found.length > limit) throw talk.failure('refused', `the tool holds more than ${limit}`)
      if (found.length >= total || items.length < PAGE) return found
    }
  }

  /** Number → name, of the groups that people made. */
  async function groups(on: Open): Promise<Map<number, string>> {
    const query = { query: JSON.stringify([{ field: 'Domain', value: 'UserDefined' }]), fields: 'Name' }
    const found = await all(on, GROUPS_MAX, '/REST/2.0/groups', group, query)
    return new Map(found.map(({ id, Name }) => [id, Name]))
  }

  /**
   * Number → name, of enabled users that are privileged. REST tells nobody who they are any more; what completes names in RT's
   * own forms does: those whose name is not this one. It takes the credentials as the form of tokens does.
   */
  async function privileged(on: Open, limit: number): Promise<Map<number, string>> {
    const term = { term: `nobody-${randomBytes(8).toString('hex')}`, op: '!=', return: 'Name' }
    const form = { ...on.credentials, ...term, privileged: '1', max: String(limit + 1) }
    const answer = await on.ask({ method: 'POST', path: NAMES, form, changes: false })
    return new Map(on.talk.read(answer, suggestions).map(({ id, value }) => [id, value]))
  }

  /** By its name or number; null where there is none. */
  async function find(on: Open, key: string | number): Promise<User | null> {
    const path = `/REST/2.0/user/${encodeURIComponent(key)}`
    const answer = await on.ask({ method: 'GET', path, also: [404] })
    if (answer.status === 404) return null
    const found = on.talk.read(answer, user)
    return found.Name === key || found.id === key ? found : null
  }

  const held = (found: User, names: ReadonlyMap<number, string>): HeldAccount => ({
    name: found.Name,
    external: String(found.id),
    active: !found.Disabled,
    rights: sortedRights(found.Memberships.map(({ id }) => names.get(id) ?? `group #${id}`)),
  })

  const put = (on: Open, { id }: User, json: unknown) => on.ask({ method: 'PUT', path: `/REST/2.0/user/${id}`, json })

  /** Memberships of exactly these groups: first what is too much, then what is missing. */
  async function settle(on: Open, { id, Memberships }: User, rights: readonly string[]): Promise<void> {
    const names = await groups(on)
    const ids = new Map([...names].map(([id, name]) => [name, id]))
    const wanted = rights.map((right) => {
      const id = ids.get(right)
      if (id === undefined) throw on.talk.failure('refused', `Request Tracker has no group ${JSON.stringify(right)}`)
      return id
    })
    const present = Memberships.map(({ id }) => id)
    for (const group of present)
      if (!wanted.includes(group)) await on.ask({ method: 'DELETE', path: `/REST/2.0/user/${id}/group/${group}` })
    const missing = wanted.filter((group) => !present.includes(group)).map(String)
    const path = `/REST/2.0/user/${id}/groups`
    if (missing.length > 0) await on.ask({ method: 'PUT', path, json: missing })
  }

  /** What is there afterwards, by reading: RT answers 200 to a change that it denies. */
  async function expectHeld(on: Open, name: string, rights: readonly string[], active: boolean): Promise<User> {
    const found = await find(on, name)
    if (found === null) throw on.talk.failure('refused', 'Request Tracker does not have the user any more')
    const now = held(found, await groups(on))
    if (now.active !== active || !sameRights(now.rights, rights))
      throw on.talk.failure('refused', 'Request Tracker answered, and the user is not as it was asked for')
    return found
  }

  async function make(on: Open, name: string, label: string): Promise<User> {
    const json = { Name: name, RealName: label.slice(0, 120), Comments: label, Privileged: 1 }
    await on.ask({ method: 'POST', path: '/REST/2.0/user', json, also: [400, 409] })
    const found = await find(on, name)
    if (found === null) throw on.talk.failure('refused', 'Request Tracker did not make the user')
    return found
  }

  /**
   * Makes the user's one token. The form is RT's own and answers with a redirect to the page that shows the token once: of
   * the redirect only the number of that page is taken, and asked for on our own origin. The form carries the credentials,
   * as that of the login does: RT would want a referrer otherwise, which no API client has.
   */
  async function mintToken(on: Open, { id }: User): Promise<Secret> {
    const description = `hallpass-${randomBytes(8).toString('hex')}`
    const form = { ...on.credentials, id: String(id), Owner: String(id), Description: description, Create: 'Create' }
    const made = await on.ask({ method: 'POST', path: TOKENS, form, also: [302] })
    const results = /[?&;]results=([0-9a-f]{32})(?:&|;|$)/.exec(made.headers.location ?? '')?.[1]
    if (results === undefined) throw on.talk.failure('refused', 'Request Tracker made no token')
    const shown = await on.ask({ method: 'GET', path: TOKENS, query: { id: String(id), results } })
    const token = new RegExp(`\\b1-${id}-[0-9a-f]{32}\\b`).exec(shown.text)?.[0]
    if (token === undefined) throw on.talk.failure('garbled', 'Request Tracker showed no token')
    await revokeOthers(on, id, shown.text, description)
    return new Secret(token)
  }

  /**
   * Tokens of the user whose answers were lost. Each has a lower number than the one just made, so that no other token can
   * have been given its number meanwhile.
   */
  async function revokeOthers(on: Open, id: number, html: string, kept: string): Promise<void> {
    const tokens = html.matchAll(/name="Token" value="(\d+)"[\s\S]*?name="Description" value="([^"]*)"/g)
    for (const [, token = '', description] of tokens) {
      if (description === kept) continue
      const form = { ...on.credentials, id: String(id), Token: token, Revoke: 'Revoke' }
      await on.ask({ method: 'POST', path: TOKENS, form, also: [302] })
    }
  }

  return {
    capabilities: {
      scope: 'exact',
      expires: false,
      lists: true,
      revokes: true,
      probes: true,
      deadWithinMilliseconds: 1000,
      presents: { header: 'authorization', prefix: 'token ' },
    },

    canonical: parse,

    async create({ name, rights, label }, signal) {
      const on = await open(signal)
      const wanted = parse(rights)
      const found = (await find(on, name)) ?? (await make(on, name, label))
      await settle(on, found, wanted)
      if (found.Disabled) await put(on, found, { Disabled: 0 })
      if (!found.Privileged) await put(on, found, { Privileged: 1 })
      const secret = await mintToken(on, found)
      const made = await expectHeld(on, name, wanted, true)
      return { external: String(made.id), secret }
    },

    async setRights({ name }, rights, signal) {
      const on = await open(signal)
      const wanted = parse(rights)
      const found = await find(on, name)
      if (found === null) throw on.talk.failure('refused', 'Request Tracker does not have the user')
      await settle(on, found, wanted)
      await expectHeld(on, name, wanted, !found.Disabled)
    },

    async remove({ name }, signal) {
      const on = await open(signal)
      const found = await find(on, name)
      if (found === null) return
      if (!found.Disabled) await put(on, found, { Disabled: 1 })
      await settle(on, found, [])
      await expectHeld(on, name, [], false)
    },

    async look({ name }, signal) {
      const on = await open(signal)
      const found = await find(on, name)
      return found === null ? null : held(found, await groups(on))
    },

    async probe(secret, signal) {
      const talk = converse(config, signal)
      const headers = { authorization: `token ${secret.reveal()}` }
      const answer = await talk.ask({ method: 'GET', path: '/REST/2.0/rt', headers, also: [401] })
      if (answer.status === 401) return 'dead'
      talk.read(answer, z.object({ Version: z.string() }))
      return 'alive'
    },

    /**
     * Enabled users that are privileged or in a group: not everybody who once wrote a mail, and may do nothing but that; and
     * none of those that were disabled, whose number only grows.
     */
    async list(limit, signal) {
      const on = await open(signal)
      const found = await privileged(on, limit)
      const rights = new Map<number, string[]>()
      for (const [group, name] of await groups(on)) {
        // As a user's own memberships are: also of a group within the group.
        const query = { recursively: '1', groups: '0' }
        for (const { id } of await all(on, limit, `/REST/2.0/group/${group}/members`, member, query))
          rights.set(id, [...(rights.get(id) ?? []), name])
      }
      for (const id of rights.keys()) {
        if (found.has(id)) continue
        const user = await find(on, id)
        if (user !== null && !user.Disabled) found.set(id, user.Name)
      }
      if (found.size > limit) throw on.talk.failure('refused', `Request Tracker holds more than ${limit} users`)
      return [...found].map(([id, name]) => ({
        name,
        external: String(id),
        active: true,
        rights: sortedRights(rights.get(id) ?? []),
      }))
    },
  }
}
