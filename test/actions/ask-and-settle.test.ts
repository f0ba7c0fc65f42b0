import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { accessStatus } from '../../src/actions/access-status.ts'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { createToolsetReader, listAccess } from '../../src/actions/list-access.ts'
import { setLock } from '../../src/actions/lock.ts'
import { releaseGrant, withdrawRequest } from '../../src/actions/release-access.ts'
import { type AskInput, requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { approveRequest, currentHash, denyRequest } from '../../src/actions/settle-request.ts'
import type { AccessRequest, Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
let session: Session
const tickets = tool('tickets')
const bot = agent('bot', {
  access: [entry('tickets', ['read', 'comment', 'close'], { details: { queue: ['incidents'] } })],
})
beforeEach(async () => {
  h = await createHarness()
  await h.start(setOf(tickets, bot, agent('other', { access: [entry('tickets', ['read'])] })))
  session = await h.session('bot')
})
afterEach(() => h.close())

const callerOf = (of: Session) => ({ role: 'agent', agent: of.agent, session: of.id }) as const
const asked: AskInput = {
  tool: 'tickets',
  scopes: ['comment', 'read'],
  reason: 'INC-7',
  durationSeconds: 3600,
  details: { queue: ['incidents'] },
}
const ask = (more: Partial<AskInput> = {}, of = session) =>
  requestAccess(h.deps, callerOf(of), { ...asked, ...more }, 'req_ask')
const pending = async (more: Partial<AskInput> = {}): Promise<AccessRequest> => {
  const outcome = unwrap(await ask(more))
  if (outcome.status !== 'pending') throw new Error('granted at once')
  return (await h.row('request', outcome.request.id))!
}
const approve = (request: string, by = as.owner('alice@example.com'), more = {}) =>
  approveRequest(h.deps, by, { request, hash: null, scopes: null, durationSeconds: null, ...more })

describe('asking', () => {
  test('waits for an owner, says who, and gives a link that names nothing but the request (P4, P8)', async () => {
    const outcome = unwrap(await ask())
    expect(outcome).toMatchObject({
      status: 'pending',
      request: { status: 'pending', tool: 'tickets', scopes: ['comment', 'read'], owners: ['alice@example.com'] },
      approveUrl: expect.stringMatching(/^https:\/\/hallpass\.example\.com\/requests\/req_[\w-]{32,}$/),
    })
    expect(h.told).toContainEqual(expect.objectContaining({ type: 'request.pending', agent: 'bot' }))
  })

  test('asking again for the same returns the same pending request, then the live grant', async () => {
    const request = await pending()
    expect((await pending()).id).toBe(request.id)
    expect((await pending({ durationSeconds: 60 })).id).not.toBe(request.id)
    const { grant } = unwrap(await approve(request.id))
    expect(unwrap(await ask())).toMatchObject({ status: 'granted', grant: { id: grant.id } })
  })

  test('at most 20 requests wait at a time (S7)', async () => {
    for (let i = 1; i <= 20; i++) await pending({ durationSeconds: i })
    expect(await ask({ durationSeconds: 21 })).toMatchObject({ ok: false, error: { code: 'rate_limited' } })
  })
})

describe('settling', () => {
  test('an owner approves once; the second time is refused (P4, S18)', async () => {
    const request = await pending()
    const { grant } = unwrap(await approve(request.id))
    expect(grant).toMatchObject({
      state: 'active',
      approval: 'owner',
      approvers: ['alice@example.com'],
      scopes: ['comment', 'read'],
    })
    expect(await approve(request.id)).toMatchObject({ ok: false, error: { code: 'conflict' } })
  })

  test('of 20 approvals at once exactly one makes a grant (P4, S18)', async () => {
    const request = await pending()
    const all = await Promise.all(Array.from({ length: 20 }, () => approve(request.id)))
    expect(all.filter(({ ok }) => ok)).toHaveLength(1)
    expect(await h.rows('grant')).toHaveLength(1)
  })

  test('an owner approves less, never more (P2, S8)', async () => {
    const { grant } = unwrap(await approve((await pending()).id, undefined, { scopes: ['read'], durationSeconds: 60 }))
    expect(grant).toMatchObject({ scopes: ['read'], expiresAt: grant.createdAt + 60_000 })
    const second = await pending({ scopes: ['read'], durationSeconds: 600 })
    expect(await approve(second.id, undefined, { scopes: ['read', 'close'] })).toMatchObject({
      ok: false,
      error: { code: 'invalid_request' },
    })
    const longer = unwrap(await approve(second.id, undefined, { durationSeconds: 999_999 }))
    expect(longer.grant.expiresAt).toBe(longer.grant.createdAt + 600_000)
  })

  test.each([
    ['an admin', as.admin],
    ['the operator', as.operator],
    ['an auditor', as.auditor],
    ['an owner of the tool', as.owner('tina@example.com')],
    ['a stranger', as.owner('mallory@example.com')],
    ['the agent itself', { caller: { role: 'agent', agent: 'bot', session: 'ses' }, requestId: 'r' } as const],
  ])("%s may not approve an agent's request (P4, S7)", async (_, by) => {
    expect(await approve((await pending()).id, by)).toMatchObject({ ok: false, error: { code: 'forbidden' } })
    expect(await h.rows('grant')).toEqual([])
  })

  test('a request nobody settled in time means no (P4)', async () => {
    const request = await pending()
    h.disk.clock.advance(3601)
    expect(await approve(request.id)).toMatchObject({ ok: false, error: { code: 'request_expired' } })
  })

  test('a denial says so to the agent, with its reason, and is final (P4)', async () => {
    const request = await pending()
    unwrap(await denyRequest(h.deps, as.owner('alice@example.com'), { request: request.id, reason: 'not today' }))
    expect(await approve(request.id)).toMatchObject({ ok: false, error: { code: 'conflict' } })
    const status = await accessStatus(
      h.deps,
      callerOf(session),
      { requestId: request.id, grantId: null, waitSeconds: 0 },
      AbortSignal.timeout(1000),
    )
    expect(status).toMatchObject({
      ok: false,
      error: { code: 'approval_denied', message: expect.stringContaining('not today') },
    })
  })

  test('an approval is void when its entitlement moved since it was shown, and not by an unrelated edit (S8)', async () => {
    const request = await pending()
    const shown = await currentHash(h.deps, request)
    const unrelated = agent('third', { access: [] })
    const rest = [tickets, agent('other', { access: [entry('tickets', ['read'])] })]
    unwrap(await applyManifests(h.deps, as.watcher, { set: setOf(...rest, bot, unrelated), base: null }))
    expect(await currentHash(h.deps, request)).toBe(shown)
    const moved = { ...bot, access: [{ ...bot.access[0]!, tokenTtlSeconds: 60 }] }
    unwrap(await applyManifests(h.deps, as.watcher, { set: setOf(...rest, moved, unrelated), base: null }))
    expect(await approve(request.id, undefined, { hash: shown })).toMatchObject({
      ok: false,
      error: { code: 'conflict' },
    })
    const again = await currentHash(h.deps, (await h.row('request', request.id))!)
    expect(await approve(request.id, undefined, { hash: again })).toMatchObject({ ok: true })
  })

  test('a locked owner decides nothing, and what rests on their approval is suspended (S12)', async () => {
    const first = await pending()
    const second = await pending({ durationSeconds: 60 })
    const { grant } = unwrap(await approve(first.id))
    const { lock } = unwrap(
      await setLock(h.deps, as.admin, {
        kind: 'owner',
        name: 'Alice@example.com',
        reason: 'left',
        forSeconds: null,
        revokeGrants: false,
      }),
    )
    expect(lock.name).toBe('alice@example.com')
    expect(await approve(second.id)).toMatchObject({ ok: false, error: { code: 'forbidden' } })
    expect(await h.credential(session, grant)).toMatchObject({ ok: false, error: { code: 'approval_required' } })
  })

  test('a session that was revoked takes its pending request with it (S11)', async () => {
    const request = await pending()
    unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: session.id, reason: null }))
    expect((await h.row('request', request.id))?.state).toBe('withdrawn')
    expect(await approve(request.id)).toMatchObject({ ok: false, error: { code: 'conflict' } })
  })
})

describe('an agent sees and releases its own alone (S7)', () => {
  test("another agent's request and grant do not exist for it", async () => {
    const request = await pending()
    const { grant } = unwrap(await approve(request.id))
    const stranger = callerOf(await h.session('other'))
    const wait = { waitSeconds: 0 } as const
    expect(
      await accessStatus(
        h.deps,
        stranger,
        { requestId: request.id, grantId: null, ...wait },
        AbortSignal.timeout(1000),
      ),
    ).toMatchObject({ ok: false })
    expect(
      await accessStatus(h.deps, stranger, { requestId: null, grantId: grant.id, ...wait }, AbortSignal.timeout(1000)),
    ).toMatchObject({ ok: false })
    expect(await releaseGrant(h.deps, stranger, grant.id, 'r')).toMatchObject({ ok: false })
    expect(await withdrawRequest(h.deps, stranger, request.id, 'r')).toMatchObject({ ok: false })
    expect(await h.credential(await h.session('other'), grant)).toMatchObject({ ok: false })
  })

  test('waiting ends the moment the owner decides', async () => {
    const request = await pending()
    const waiting = accessStatus(
      h.deps,
      callerOf(session),
      { requestId: request.id, grantId: null, waitSeconds: 50 },
      AbortSignal.timeout(20_000),
    )
    await new Promise((resolve) => setImmediate(resolve))
    unwrap(await approve(request.id))
    expect(await waiting).toMatchObject({ ok: true, value: { status: 'granted' } })
  })

  test('what it gives back is gone with its credentials, and the receipt says so (P5)', async () => {
    const { grant } = unwrap(await approve((await pending()).id))
    const { credential } = unwrap(await h.credential(session, grant))
    const receipt = unwrap(await releaseGrant(h.deps, callerOf(session), grant.id, 'r'))
    expect(receipt).toMatchObject({ act: 'grant released', state: 'complete', counts: { grants: 1, credentials: 1 } })
    expect((await h.row('credential', credential.id))?.state).toBe('revoked')
    const listed = unwrap(await listAccess(h.deps, createToolsetReader(h.deps), callerOf(session)))
    expect(listed.grants).toEqual([])
    expect(listed.access).toMatchObject([
      { tool: 'tickets', details: { queue: ['incidents'] }, maxDurationSeconds: 28_800 },
    ])
  })
})
