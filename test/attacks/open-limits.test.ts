// One agent that wants more than its share: sessions, requests, grants, and words in one request. What has ended counts
// no more, and what is refused says what to do (S17, P8).

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSession } from '../../src/actions/open-session.ts'
import type { Page } from '../../src/actions/ports.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { approveRequest } from '../../src/actions/settle-request.ts'
import * as api from '../../src/adapters/http/inputs.ts'
import { INPUTS } from '../../src/adapters/mcp/tool-inputs.ts'
import { readExchange } from '../../src/adapters/oauth/exchange-input.ts'
import { OPEN } from '../../src/core/limits.ts'
import type { Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const HOUR_MS = 3_600_000
const times = <T>(count: number, of: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => of(i))

let h: Harness
beforeEach(async () => {
  h = await createHarness()
  const access = [entry('tickets', ['read'], { approval: 'none', grantForSeconds: 3600 }), entry('tickets', ['close'])]
  await h.start(setOf(tool('tickets'), agent('bot', { access }), agent('other', { access })))
})
afterEach(() => h.close())

const open = (name = 'bot') => {
  const { clock, ids } = h.disk
  const proof = { agent: name, key: `${name}-key`, jti: ids.next('jti'), expiresAt: clock.now() + 60_000 }
  return openSession(h.deps, proof, 'req')
}
const ask = (session: Session, scope: string, durationSeconds: number) =>
  requestAccess(
    h.deps,
    { role: 'agent', agent: session.agent, session: session.id },
    { tool: 'tickets', scopes: [scope], reason: 'INC-1', durationSeconds, details: {} },
    'req',
  )

describe('sessions', () => {
  const SHARE = OPEN.sessionsPerAgent
  /** A second later, so that what has ended meanwhile is counted anew. */
  const openLater = () => {
    h.disk.clock.advance(1)
    return open()
  }
  async function openMany(count: number): Promise<number> {
    let opened = 0
    for (let left = count; left > 0; left -= 400)
      opened += (await Promise.all(times(Math.min(left, 400), () => open()))).filter(({ ok }) => ok).length
    return opened
  }
  async function openNow(): Promise<number> {
    let count = 0
    let after: string | null = null
    do {
      const page: Page<'session'> = await h.deps.store.list({
        kind: 'session',
        where: { agent: 'bot', state: 'open' },
        limit: 500,
        ...(after === null ? {} : { after }),
      })
      count += page.rows.length
      after = page.next
    } while (after !== null)
    return count
  }

  test('one agent has no more open than its share, however many it opens at once (S11, S17)', async () => {
    expect(await openMany(SHARE - 8)).toBe(SHARE - 8)
    expect(await openMany(40)).toBe(8)
    expect(await openLater()).toMatchObject({ error: { code: 'rate_limited' } })
    expect(await openNow()).toBe(SHARE)
    expect((await open('other')).ok).toBe(true)
  }, 60_000)

  test('the refusal says until when to wait; a session that was ended or has expired makes room (P8)', async () => {
    const first = unwrap(await open()).session
    h.disk.clock.advance(600)
    await openMany(SHARE - 1)
    const refused = await open()
    expect(refused).toMatchObject({
      error: { code: 'rate_limited', retryable: true, hint: expect.stringMatching(/revoke/) },
    })
    expect(refused.ok ? 0 : refused.error.retryAfterSeconds).toBeGreaterThan(2900)
    unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: first.id, reason: null }))
    expect((await openLater()).ok).toBe(true)
    expect((await openLater()).ok).toBe(false)
    h.disk.clock.advance(HOUR_MS / 1000)
    expect(await openMany(20)).toBe(20)
  }, 60_000)

  test('an opening that is refused takes no room (S17)', async () => {
    await openMany(SHARE - 1)
    const unknown = { agent: 'bot', key: 'not-its-key', jti: 'x', expiresAt: h.disk.clock.now() + 60_000 }
    for (let i = 0; i < 3; i++) expect((await openSession(h.deps, unknown, 'req')).ok).toBe(false)
    expect((await open()).ok).toBe(true)
  }, 60_000)
})

describe('grants on one tool', () => {
  test('no more than its share, asked for or approved; those that have ended do not count (S17)', async () => {
    let session = unwrap(await open()).session
    const waits = unwrap(await ask(session, 'close', 77))
    const request = waits.status === 'pending' ? waits.request.id : ''
    const yes = () => approveRequest(h.deps, as.owner('alice@example.com'), { ...all, request })
    const all = { hash: null, scopes: null, durationSeconds: null }
    for (let i = 0; i < OPEN.activeGrantsPerAgentAndTool; i++) unwrap(await ask(session, 'read', 600 + i))
    expect(await ask(session, 'read', 999)).toMatchObject({ error: { code: 'rate_limited' } })
    expect(await yes()).toMatchObject({ error: { code: 'rate_limited' } })
    h.disk.clock.advance(700)
    unwrap(await yes())
    h.disk.clock.advance(HOUR_MS / 1000)
    session = unwrap(await open()).session
    expect(await ask(session, 'read', 999)).toMatchObject({ ok: true })
  }, 60_000)
})

test('requests that wait: no more than its share, and what has expired does not count (S17)', async () => {
  const session = unwrap(await open()).session
  for (let i = 0; i < OPEN.pendingRequestsPerAgent; i++) unwrap(await ask(session, 'close', 60 + i))
  expect(await ask(session, 'close', 999)).toMatchObject({
    error: { code: 'rate_limited', nextTool: 'release_access' },
  })
  h.disk.clock.advance(HOUR_MS / 1000)
  expect(await ask(unwrap(await open()).session, 'close', 999)).toMatchObject({ ok: true })
})

test('scopes, details and their values in one request, by every door (S17)', () => {
  const scopes = (count: number) => times(count, (i) => `s${i}`)
  const details = (keys: number, values: number) =>
    Object.fromEntries(times(keys, (i) => [`k${i}`, times(values, (j) => `v${j}`)]))
  const exchange = (more: Readonly<Record<string, string>>) =>
    readExchange(
      new Map([
        ['subject_token', 'x'],
        ['subject_token_type', 'urn:ietf:params:oauth:token-type:access_token'],
        ['audience', 'tickets'],
        ...Object.entries(more),
      ]),
    ).ok
  const constraints = (given: object) => JSON.stringify([{ type: 'hallpass_details', constraints: given }])
  const doors = {
    mcp: (of: readonly string[], within: object) =>
      INPUTS.request_access.safeParse({ tool: 't', scopes: of, reason: 'r', details: within }).success,
    api: (of: readonly string[], within: object) =>
      api.scopes.safeParse(of).success && api.details.safeParse(within).success,
    oauth: (of: readonly string[], within: object) =>
      exchange({ scope: of.join(' '), authorization_details: constraints(within) }),
  }
  const { scopesPerRequest, detailsPerRequest, valuesPerDetail } = OPEN
  for (const door of Object.values(doors)) {
    expect(door(scopes(scopesPerRequest), details(detailsPerRequest, valuesPerDetail))).toBe(true)
    expect(door(scopes(scopesPerRequest + 1), {})).toBe(false)
    expect(door(scopes(1), details(detailsPerRequest + 1, 1))).toBe(false)
    expect(door(scopes(1), details(1, valuesPerDetail + 1))).toBe(false)
  }
})
