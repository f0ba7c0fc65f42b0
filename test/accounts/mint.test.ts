// A grant becomes an account: what is written when, who shares it, and what leaves when the tool fails.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import type { Op } from '../support/fake-tool.ts'
import { as } from '../support/harness.ts'
import { accountTool, agent, entry, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, SET, type Stage } from './stage.ts'

let s: Stage
beforeEach(async () => {
  s = await createStage()
})
afterEach(() => s.close())

const accounts = () => s.h.rows('account')
const kinds = async () =>
  (await s.h.trail()).map(({ kind }) => kind).filter((kind) => /^(account|credential)/.test(kind))
const firstly = (op: Op, fault: ReturnType<typeof s.tool.fault>) => {
  let left = 1
  s.tool.fault = (asked) => (asked === op && left-- > 0 ? fault : null)
}

describe('a mint under a grant on a tool with accounts', () => {
  test('makes one account with exactly its rights, and answers its secret and how it is sent (P2)', async () => {
    const issued = unwrap(await s.mint())
    const [name] = s.tool.active()
    expect(name).toMatch(/^hp-[0-9a-f]{16}$/)
    expect(s.tool.accounts.get(name!)).toMatchObject({ rights: ['Read'], secret: issued.token })
    expect(issued.use).toEqual({ header: 'X-Fake-Key', prefix: 'key ' })
    expect((await accounts())[0]).toMatchObject({
      state: 'present',
      name,
      rights: ['Read'],
      agent: 'bot',
      tool: 'desk',
    })
  })

  test('writes the intent before the call and the credential before its secret leaves (P1, P9)', async () => {
    let atCall: readonly string[] = []
    s.tool.fault = (op) => {
      if (op === 'create') void kinds().then((seen) => (atCall = seen))
      return null
    }
    const issued = unwrap(await s.mint())
    expect(atCall).toEqual(['account.planned'])
    expect(await kinds()).toEqual(['account.planned', 'account.created', 'credential.issued'])
    expect(issued.credential.claimsHash).toMatch(/^[0-9a-f]{64}$/)
  })

  test('keeps its secret nowhere in the clear (P7)', async () => {
    const { token } = unwrap(await s.mint())
    for (const bytes of await s.h.disk.kept()) expect(bytes.includes(token)).toBe(false)
  })

  test('shares the account that is there, for another session too, and extends it (S11)', async () => {
    const first = unwrap(await s.mint())
    s.h.disk.clock.advance(60)
    const second = unwrap(await s.mint(await s.h.session('bot')))
    expect(second.token).toBe(first.token)
    expect(second.credential.id).not.toBe(first.credential.id)
    expect((await accounts()).length).toBe(1)
    expect((await accounts())[0]?.until).toBe(second.credential.expiresAt)
  })

  test('ten at once make one account (S16)', async () => {
    const minted = await Promise.all(Array.from({ length: 10 }, () => s.mint()))
    expect(new Set(minted.map((one) => unwrap(one).token)).size).toBe(1)
    expect(s.tool.calls.filter((call) => call.startsWith('create')).length).toBe(1)
    expect((await accounts()).length).toBe(1)
  })

  test('for less than the grant is refused, for the account would hold all of it (P2)', async () => {
    const grant = await s.h.grant(s.session, 'desk', ['comment', 'read'])
    const asked = { grant: grant.id, scopes: ['read'], details: null, via: 'exchange' } as const
    const caller = { role: 'agent', agent: 'bot', session: s.session.id } as const
    expect(await issueCredential(s.h.deps, caller, asked, 'req')).toMatchObject({ error: { code: 'invalid_request' } })
    expect(s.tool.calls).toEqual([])
  })

  test('is asked again at request time for a detail that its right names (P8)', async () => {
    const rights = { read: ['{queue}:Read'], comment: ['C'], close: ['D'] }
    const details = { queue: { description: '', enforcedBy: 'tool' as const } }
    const h = (await createStage()).h
    const set = setOf(
      accountTool('fresh', { rights }, { details }),
      agent('new', { access: [entry('fresh', ['read'])] }),
    )
    await h.close()
    const { createHarness } = await import('../support/harness.ts')
    const clean = await createHarness()
    await clean.start(set)
    const session = await clean.session('new')
    const caller = { role: 'agent', agent: 'new', session: session.id } as const
    const ask = { tool: 'fresh', scopes: ['read'], reason: 'x', durationSeconds: null, details: {} }
    expect(await requestAccess(clean.deps, caller, ask, 'r')).toMatchObject({ error: { code: 'details_not_allowed' } })
    expect(await requestAccess(clean.deps, caller, { ...ask, details: { queue: ['a'] } }, 'r')).toMatchObject({
      ok: true,
    })
    await clean.close()
  })
})

describe('where the tool fails a mint', () => {
  test('that surely did not reach it, nothing is left and the next one works (P9)', async () => {
    firstly('create', 'down')
    expect(await s.mint()).toMatchObject({ error: { code: 'overloaded', retryable: true } })
    expect((await accounts()).map(({ state }) => state)).toEqual(['gone'])
    unwrap(await s.mint())
    expect(s.tool.active().length).toBe(1)
  })

  test('and asks for a pause, the agent is told of it (P8)', async () => {
    firstly('create', 'busy')
    expect(await s.mint()).toMatchObject({ error: { code: 'overloaded', retryAfterSeconds: 7 } })
  })

  test.each(['lost', 'half', 'error', 'hang', 'late'] as const)(
    'with "%s", no secret leaves, the account is taken away, and another is made after (S16, P9)',
    async (fault) => {
      firstly('create', fault)
      expect((await s.mint()).ok).toBe(false)
      expect((await accounts())[0]).toMatchObject({ state: 'leaving' })
      expect(await s.mint()).toMatchObject({ error: { code: 'overloaded', retryable: true } })
      await s.rounds(2)
      s.tool.deliver()
      expect((await accounts())[0]?.state).toBe('leaving')
      await s.rounds(6)
      expect(s.tool.active()).toEqual([])
      expect((await accounts())[0]?.state).toBe('gone')
      unwrap(await s.mint())
      expect(s.tool.active().length).toBe(1)
      expect((await kinds()).filter((kind) => kind === 'credential.issued').length).toBe(1)
    },
  )
})

test('a create that was never answered is removed ever more rarely, and last when it is settled (S16)', async () => {
  Object.assign(s.h.deps.toolCalls.limits, { settleMs: 60_000 })
  firstly('create', 'hang')
  expect((await s.mint()).ok).toBe(false)
  s.tool.calls.length = 0
  await s.rounds(59)
  s.tool.fault = () => null
  const removals = () => s.tool.calls.filter((call) => call.startsWith('remove')).length
  expect(removals()).toBeGreaterThan(3)
  expect(removals()).toBeLessThan(10)
  expect((await accounts())[0]?.state).toBe('leaving')
  await s.rounds(3)
  expect((await accounts())[0]?.state).toBe('gone')
})

describe('what dies while the account is made', () => {
  test.each(['session', 'grant'] as const)(
    'its %s revoked: no secret leaves, and it is gone (P2, S16)',
    async (kind) => {
      let receipt = ''
      const create = s.tool.create
      const tool = Object.assign(s.tool, {
        create: async (...asked: Parameters<typeof create>) => {
          const made = await create(...asked)
          const id = kind === 'session' ? s.session.id : s.grant.id
          receipt = unwrap(await revoke(s.h.deps, as.admin, { kind, id, reason: null })).id
          return made
        },
      })
      const minted = await s.mint()
      tool.create = create
      expect(minted.ok).toBe(false)
      await s.rounds(60, 2)
      expect(s.tool.active()).toEqual([])
      expect((await kinds()).includes('credential.issued')).toBe(false)
      expect(await s.h.row('revocation', receipt)).toMatchObject({ state: 'complete' })
      // What the late answer told of is used: the secret that nobody ever had is tried too.
      expect((await accounts())[0]).toMatchObject({ state: 'gone', probedAt: expect.any(Number) })
    },
  )

  test('the manifest narrowed: no secret leaves, and it is gone (P3)', async () => {
    const create = s.tool.create
    s.tool.create = async (...asked) => {
      const made = await create(...asked)
      const { tools } = SET
      const set = setOf(...tools.values(), agent('bot'))
      unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
      return made
    }
    expect((await s.mint()).ok).toBe(false)
    s.tool.create = create
    await s.rounds(60, 2)
    expect(s.tool.active()).toEqual([])
  })
})
