import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { authenticateBearer } from '../../src/actions/authenticate-bearer.ts'
import { makeBearer, type NewBearer } from '../../src/actions/make-bearer.ts'
import type { Caller } from '../../src/actions/ports.ts'
import { expiringVerifiers, listBearers, revokeBearer } from '../../src/actions/revoke-bearer.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import { formatBearer } from '../../src/core/bearer.ts'
import type { BearerKind } from '../../src/core/model.ts'
import { reveal } from '../../src/core/record.ts'
import { ok } from '../../src/core/result.ts'
import { operator, type StoreOnDisk, storeOnDisk, unwrap } from '../support/store-on-disk.ts'

const HOUR = 3600
const DAY = 24 * HOUR

let disk: StoreOnDisk
beforeEach(async () => {
  disk = await storeOnDisk()
})
afterEach(() => disk.close())

const make = (kind: BearerKind, subject = 'Sre-Lead@Example.com', ttlSeconds?: number) =>
  makeBearer(disk, operator, { kind, subject, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) })
const authenticate = (token: string) => authenticateBearer(disk, token)
const records = () => disk.store.records(0, 500)
const trail = async () => (await records()).map(({ bytes, opened }) => reveal(bytes, opened))

/** Puts a tool in force, or takes it out of force. */
async function setTool(name: string, inForce = true): Promise<void> {
  const value = {
    of: 'tool',
    name,
    labels: {},
    owners: ['desk@example.com'],
    category: 'ticketing',
    resource: `https://${name}.example.com`,
    scopes: {},
    details: {},
    token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'guard', leewaySeconds: 60 },
    target: { type: 'none' },
    source: { file: 'x.yaml', line: 1, column: 1 },
  } as const
  const body = { version: '0', node: '24', records: 0 }
  unwrap(
    await transact(disk, 'normal', async (look) => {
      await look.row('slice', `tool/${name}`)
      const row = { id: `tool/${name}`, value: inForce ? value : null, digest: '0'.repeat(64), resumable: null }
      const record = recordOf(operator, look.now, 'server.started', {}, body)
      return ok({ value: null, put: [{ kind: 'slice', row }], records: [record] })
    }),
  )
}

test.each([
  ['owner', 'hp_owner_', 12 * HOUR, { role: 'owner', email: 'sre-lead@example.com' }],
  ['admin', 'hp_admin_', 90 * DAY, { role: 'admin', id: 'sre-lead@example.com' }],
  ['auditor', 'hp_audit_', 90 * DAY, { role: 'auditor', id: 'sre-lead@example.com' }],
  ['publisher', 'hp_pub_', 90 * DAY, { role: 'publisher', id: 'sre-lead@example.com' }],
] as const)(
  'a bearer for an %s starts with %s, lives %i s at most, and stands for its holder (S10)',
  async (kind, prefix, most, caller) => {
    const made = unwrap(await make(kind))
    expect(made.secret.reveal().startsWith(prefix)).toBe(true)
    expect(made.expiresAt).toBe(disk.clock.now() + most * 1000)
    expect(await authenticate(made.secret.reveal())).toEqual({ ok: true, value: { ...caller, bearer: made.id } })
    expect(await make(kind, undefined, most + 1)).toMatchObject({ ok: false, error: { code: 'invalid_request' } })
    expect(unwrap(await make(kind, undefined, 60)).expiresAt).toBe(disk.clock.now() + 60_000)
  },
)

test('a verifier is made for a tool in force, and lives 400 days at most (S10, S14)', async () => {
  expect(await make('verifier', 'tickets')).toMatchObject({ ok: false, error: { code: 'unknown_tool' } })
  await setTool('tickets')
  const made = unwrap(await make('verifier', 'tickets'))
  expect(made.secret.reveal()).toMatch(/^hp_verify_/)
  expect(made.expiresAt).toBe(disk.clock.now() + 400 * DAY * 1000)
  expect(await authenticate(made.secret.reveal())).toEqual({
    ok: true,
    value: { role: 'verifier', tool: 'tickets', bearer: made.id },
  })
  expect(await make('verifier', 'tickets', 400 * DAY + 1)).toMatchObject({
    ok: false,
    error: { code: 'invalid_request' },
  })
  await setTool('tickets', false)
  expect(await make('verifier', 'tickets')).toMatchObject({ ok: false, error: { code: 'unknown_tool' } })
  expect(await make('verifier', 'Tickets')).toMatchObject({ ok: false, error: { code: 'unknown_tool' } })
})

test('a tool has two valid verifiers at once, made one by one or all at the same time (S10)', async () => {
  await setTool('tickets')
  await setTool('metrics')
  const results = await Promise.all(Array.from({ length: 5 }, () => make('verifier', 'tickets', DAY)))
  const made = results.flatMap((result) => (result.ok ? [result.value] : []))
  expect(made.length).toBeGreaterThan(0)
  while (made.length < 2) made.push(unwrap(await make('verifier', 'tickets', DAY)))
  expect(made).toHaveLength(2)
  const third = await make('verifier', 'tickets')
  expect(third).toMatchObject({ ok: false, error: { code: 'conflict', hint: expect.stringContaining(made[0]!.id) } })
  unwrap(await make('verifier', 'metrics'))

  unwrap(await revokeBearer(disk, operator, { id: made[0]!.id }))
  unwrap(await make('verifier', 'tickets', 2 * DAY))
  expect(await make('verifier', 'tickets')).toMatchObject({ ok: false })
  disk.clock.advance(DAY)
  unwrap(await make('verifier', 'tickets'))
})

test.each([
  ['owner', 'not an address'],
  ['owner', ''],
  ['admin', 'a@b'],
  ['auditor', `${'a'.repeat(250)}@example.com`],
  ['publisher', 'a@b.c\nx'],
  ['owner', 'team/platform'],
] as const)('a bearer for an %s is not made for %j (S10)', async (kind, subject) => {
  expect(await make(kind, subject)).toMatchObject({ ok: false, error: { code: 'invalid_request' } })
  expect(await trail()).toEqual([])
})

test.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])('a bearer never lives %d s (S10)', async (ttlSeconds) => {
  expect(await make('owner', undefined, ttlSeconds)).toMatchObject({ ok: false, error: { code: 'invalid_request' } })
})

const others: Caller[] = [
  { role: 'agent', agent: 'bot', session: 'ses_1' },
  { role: 'owner', email: 'o@example.com', bearer: 'brr_1' },
  { role: 'admin', id: 'a@example.com', bearer: 'brr_1' },
  { role: 'auditor', id: 'a@example.com', bearer: 'brr_1' },
  { role: 'publisher', id: 'p@example.com', bearer: 'brr_1' },
  { role: 'verifier', tool: 'tickets', bearer: 'brr_1' },
]
test.each(others)('$role makes, lists and revokes no bearers (S7, S10)', async (caller) => {
  const { id, secret } = unwrap(await make('owner'))
  const context = { caller, requestId: 'req_1' }
  const input: NewBearer = { kind: 'owner', subject: 'o@example.com' }
  for (const result of [
    await makeBearer(disk, context, input),
    await revokeBearer(disk, context, { id }),
    await listBearers(disk, context),
  ]) {
    expect(result).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  }
  expect((await authenticate(secret.reveal())).ok).toBe(true)
})

test('a bearer opens nothing from the instant it expires (S10)', async () => {
  const token = unwrap(await make('owner', undefined, 60)).secret.reveal()
  disk.clock.advance(59)
  expect((await authenticate(token)).ok).toBe(true)
  disk.clock.advance(1)
  expect(await authenticate(token)).toMatchObject({ ok: false, error: { code: 'unauthenticated' } })
})

test('a revoked bearer opens nothing, and revoking it again changes nothing (S10)', async () => {
  const { id, secret } = unwrap(await make('admin'))
  const other = unwrap(await make('admin'))
  const revoked = unwrap(await revokeBearer(disk, operator, { id, reason: 'laptop lost' }))
  expect(revoked).toMatchObject({ id, state: 'revoked', revokedAt: disk.clock.now() })
  expect(await authenticate(secret.reveal())).toMatchObject({ ok: false, error: { code: 'unauthenticated' } })
  expect((await authenticate(other.secret.reveal())).ok).toBe(true)
  disk.clock.advance(5)
  const size = (await records()).length
  expect(unwrap(await revokeBearer(disk, operator, { id }))).toEqual(revoked)
  expect((await records()).length).toBe(size)
  expect(await revokeBearer(disk, operator, { id: 'brr_none' })).toMatchObject({ ok: false })
})

test('whoever is refused learns nothing of why; the trail does (P8)', async () => {
  const revoked = unwrap(await make('owner'))
  await revokeBearer(disk, operator, { id: revoked.id })
  const expired = unwrap(await make('owner', undefined, 1))
  disk.clock.advance(2)
  const unknown = formatBearer('owner', disk.ids.random(32))
  const tokens = [revoked.secret.reveal(), expired.secret.reveal(), unknown.reveal(), 'hp_owner_x', '', 'x'.repeat(1e6)]
  const refusals = []
  for (const token of tokens) {
    const result = await authenticate(token)
    if (!result.ok) refusals.push(result.error)
    expect(JSON.stringify(result)).not.toContain(token === '' ? 'hp_' : token)
  }
  expect(refusals).toHaveLength(6)
  expect(new Set(refusals.map(({ code, message, hint }) => `${code} ${message} ${hint}`)).size).toBe(1)
  expect(refusals.map(({ detail }) => detail)).toEqual([
    `bearer ${revoked.id} was revoked`,
    `bearer ${expired.id} has expired`,
    'an unknown bearer token',
    ...Array(3).fill('not a bearer token of this broker'),
  ])
})

test('the secret is in no file of the store, in no list and in no print (P7)', async () => {
  const made = unwrap(await make('admin'))
  const token = made.secret.reveal()
  const listed = unwrap(await listBearers(disk, operator))
  expect(listed.bearers[0]).toMatchObject({ id: made.id, kind: 'admin', madeBy: 'operator', state: 'valid' })
  expect(inspect([made, listed], { depth: 9 }) + JSON.stringify([made, listed])).not.toContain(token.slice(9))
  expect(JSON.stringify(listed)).not.toMatch(/[0-9a-f]{64}/)
  const files = await disk.kept()
  expect(files.some((bytes) => bytes.includes(made.id))).toBe(true)
  expect(files.some((bytes) => bytes.includes(token.slice(9)))).toBe(false)
})

test('who made and who revoked a bearer is on the trail, with the holder as a person that can be erased (S10)', async () => {
  const { id } = unwrap(await make('owner'))
  unwrap(await revokeBearer(disk, operator, { id, reason: 'left the team' }))
  expect(await trail()).toMatchObject([
    {
      kind: 'bearer.made',
      actor: { type: 'operator' },
      subject: { owner: 'sre-lead@example.com' },
      body: { bearer: id, kind: 'owner', holder: 'sre-lead@example.com' },
    },
    { kind: 'bearer.revoked', actor: { type: 'operator' }, body: { bearer: id, reason: 'left the team' } },
  ])
  for (const { bytes } of await records()) {
    expect(Buffer.from(bytes).toString()).not.toMatch(/sre-lead|left the team/)
  }
})

test('a verifier is warned about from 30 days before its end, until its successor is there (S10)', async () => {
  await setTool('tickets')
  const { id } = unwrap(await make('verifier', 'tickets', 40 * DAY))
  unwrap(await make('admin', undefined, 20 * DAY))
  const warnings = async () => unwrap(await listBearers(disk, operator)).bearers.flatMap(({ warning }) => warning ?? [])
  disk.clock.advance(10 * DAY - 1)
  expect([await warnings(), await expiringVerifiers(disk)]).toEqual([[], []])
  disk.clock.advance(1)
  expect(await warnings()).toEqual([
    expect.stringMatching(/verifier of tickets expires in 30 days: .*verifier token tickets/),
  ])
  expect((await expiringVerifiers(disk)).map((bearer) => bearer.id)).toEqual([id])
  unwrap(await make('verifier', 'tickets'))
  expect(await expiringVerifiers(disk)).toEqual([])
  disk.clock.advance(30 * DAY)
  expect(await warnings()).toEqual([])
})

test('bearers are listed a page at a time, by tool or kind (S10)', async () => {
  await setTool('tickets')
  const made = []
  for (let index = 0; index < 5; index++) made.push(unwrap(await make('owner', `o${index}@example.com`)).id)
  const verifier = unwrap(await make('verifier', 'tickets')).id
  const first = unwrap(await listBearers(disk, operator, { limit: 4 }))
  const rest = unwrap(await listBearers(disk, operator, { limit: 4, after: first.next! }))
  expect([...first.bearers, ...rest.bearers].map(({ id }) => id)).toEqual([...made, verifier])
  expect(rest.next).toBeNull()
  expect(unwrap(await listBearers(disk, operator, { tool: 'tickets' })).bearers.map(({ id }) => id)).toEqual([verifier])
  expect(unwrap(await listBearers(disk, operator, { kind: 'owner' })).bearers).toHaveLength(5)
})
