import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/core/canonical.ts'
import { leafHash } from '../../src/core/merkle.ts'
import { conceal, Personal } from '../../src/core/personal.ts'
import {
  type AuditRecord,
  personal,
  RECORD_KINDS,
  type RecordKind,
  reveal,
  rfc3339,
  seal,
} from '../../src/core/record.ts'
import type { RecordBody } from '../../src/core/record-kinds.ts'

const at = rfc3339(Date.UTC(2026, 2, 4, 3, 40, 2, 5))
const sha = 'a'.repeat(64)
const asked = { scopes: ['ticket:read'], details: { queue: ['incidents'] }, durationSeconds: 3600 }
const slice = { slice: 'access/triage-bot/tickets', before: null, after: sha }
const reason = personal('INC-1042 is mine')
const approver = personal('sre-lead@example.com')

/** One body of every kind, with everything that may be left out. A kind without a row here does not compile. */
const bodies: { [K in RecordKind]: RecordBody<K> } = {
  'installation.initialized': { owner: approver, revision: 'rev_1', issuer: 'http://127.0.0.1:8420' },
  'account.planned': { name: 'hp-0123456789abcdef', rights: ['ops:Agent'], url: 'https://rt.example.com', until: at },
  'account.created': { name: 'hp-0123456789abcdef', secretHash: sha, afterMilliseconds: 12 },
  'account.leaving': { name: 'hp-0123456789abcdef', because: 'narrowed' },
  'account.removed': {
    name: 'hp-0123456789abcdef',
    attempts: 0,
    removedAfterMilliseconds: 8,
    readBackAfterMilliseconds: 9,
    probedAfterMilliseconds: null,
  },
  'account.failed': {
    name: 'hp-0123456789abcdef',
    doing: 'remove',
    why: 'timeout',
    attempts: 2,
    detail: personal('no answer'),
  },
  'tool.called': { method: 'GET', target: personal('/api/v1/query?query'), scope: 'metrics:read' },
  'tool.answered': { status: 200, ended: 'whole', sentBytes: 0, receivedBytes: 12, afterMilliseconds: 3 },
  'tool.drift': {
    finding: 'over-scoped',
    name: personal('hp-0123456789abcdef'),
    account: 'acc_1',
    rights: [personal('ops:Manager')],
    did: 'healed',
    detail: personal('500'),
  },
  'definition.offered': { name: 'create_issue', digest: sha, pinned: null, because: 'new' },
  'definition.pinned': { name: 'create_issue', digest: sha, before: sha },
  'definition.withdrawn': { name: 'create_issue', before: sha, reason },
  'token.inspected': { found: 'bearer', bearer: 'brr_1' },
  'tool.drilled': {
    name: 'hp-0123456789abcdef',
    scope: 'ticket:read',
    outcome: 'dead',
    provisionMilliseconds: 40,
    firstUseMilliseconds: 5,
    deadAfterMilliseconds: null,
  },
  'revision.proposed': { revision: 'rev_1', digest: sha, base: null, source: 'watch', narrowings: 1, widenings: 2 },
  'revision.in_force': {
    revision: 'rev_1',
    digest: sha,
    replaced: null,
    narrowings: 1,
    waiting: 2,
    diff: [personal('- owner a@b.c')],
  },
  'widening.accepted': { revision: 'rev_1', widening: 'wid_1', ...slice, reason },
  'widening.declined': { revision: 'rev_1', widening: 'wid_1', ...slice, reason },
  'widening.voided': { revision: 'rev_1', widening: 'wid_1', slice: slice.slice, because: 'moved' },
  'agent.proved': { kid: 'kid_1' },
  'session.opened': { kid: 'kid_1', expiresAt: at },
  'session.revoked': { because: 'session revoked', reason },
  'request.made': {
    ...asked,
    reason,
    delivery: 'exchange',
    approval: 'owner',
    entitlement: sha,
    revision: 'rev_1',
    binds: sha,
    expiresAt: at,
  },
  'request.approved': { ...asked, approvalId: 'apr_1', approver, level: 'owner', binds: sha, reason },
  'request.shown': { answer: 'accept' },
  'request.denied': { approver, reason },
  'request.withdrawn': { because: 'asked' },
  'grant.made': {
    scopes: ['a'],
    details: {},
    delivery: 'inline',
    entitlement: sha,
    revision: 'rev_1',
    approvalId: null,
    expiresAt: at,
  },
  'grant.superseded': { because: 'narrowed', revision: 'rev_2' },
  'grant.revoked': { because: 'grant revoked', reason },
  'grant.released': {},
  'credential.issued': {
    claimsHash: sha,
    resource: 'https://tickets.example.com',
    scopes: ['a'],
    details: {},
    expiresAt: at,
    delivery: 'exchange',
    approvalId: 'apr_1',
    manifest: sha,
  },
  'credential.revoked': { because: 'locked', reason },
  refusal: { code: 'scope_not_in_manifest', detail: personal('ticket:clsoe'), route: 'request_access', scopes: ['a'] },
  'refusals.counted': { code: 'forbidden', count: 3, from: at, until: at, route: 'GET /v1/agents' },
  'strangers.counted': { count: 3, from: at, until: at, codes: { unauthenticated: 3 } },
  'lock.set': { target: 'agent', reason, until: null, revokeGrants: false },
  'lock.lifted': { reason },
  'agent.decommissioning': { reason },
  'agent.decommissioned': { revocation: 'rvk_1' },
  'revocation.confirmed': {
    by: 'asks',
    how: 'introspection refuses',
    account: 'acc',
    credentials: 1,
    afterMilliseconds: 3,
  },
  'revocation.complete': { confirmed: 1, afterMilliseconds: 3 },
  'revocation.outstanding': { since: at, deadline: at, account: 'acc', detail: personal('timeout') },
  'rows.followed': { rows: 'credential', count: 500, because: 'locked' },
  'bearer.made': { bearer: 'brr_1', kind: 'owner', holder: approver, expiresAt: at },
  'bearer.revoked': { bearer: 'brr_1', because: 'asked', reason },
  'key.created': { kid: 'kid_1', alg: 'ES256', use: 'tokens' },
  'key.rotated': { kid: 'kid_1', alg: 'ES256', use: 'tokens', replaces: null },
  'key.retired': { kid: 'kid_1', use: 'audit', because: 'expired' },
  'clock.reset': { highest: '2026-01-01T00:00:00.000Z', grantsToo: false },
  'audit.exported': { from: 0, records: 3 },
  'server.started': { version: '0.1.0', node: '24.0.0', records: 3 },
  'manifest.rejected': {
    count: 1,
    faults: [{ file: personal('agents/a.yaml'), line: 1, column: 1, message: personal('no') }],
  },
  'authority.orphaned': { of: 'agent', name: 'triage-bot', fallback: 'owners of tickets' },
}
const actor = { type: 'owner', id: 'sre-lead@example.com' } as const
const subject = { agent: 'triage-bot', tool: 'tickets', request: 'req_1' }

let salts = 0
const newSalt = () => Uint8Array.from({ length: 16 }, (_, i) => (i === 0 ? salts++ : i))
const denied = (more: object = {}) =>
  ({
    v: 1,
    kind: 'request.denied',
    at,
    actor,
    subject,
    request: 'call_1',
    body: { approver, reason },
    ...more,
  }) as AuditRecord
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

describe('sealing', () => {
  test.each(Object.keys(RECORD_KINDS) as RecordKind[])(
    'a %s record seals, reveals, and keeps no text in its bytes',
    (kind) => {
      const sealed = seal({ v: 1, kind, at, actor, subject, request: null, body: bodies[kind] } as AuditRecord, newSalt)
      expect(canonicalJson(JSON.parse(textOf(sealed.bytes)))).toBe(textOf(sealed.bytes))
      expect(sealed.leaf).toEqual(leafHash(sealed.bytes))
      for (const { text } of Object.values(sealed.opened)) expect(textOf(sealed.bytes)).not.toContain(text)
      const plain = (value: unknown): unknown =>
        value instanceof Personal
          ? value.text
          : Array.isArray(value)
            ? value.map(plain)
            : typeof value === 'object' && value !== null
              ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
              : value
      expect(reveal(sealed.bytes, sealed.opened)).toEqual({
        v: 1,
        kind,
        at,
        actor,
        subject,
        request: null,
        body: plain(bodies[kind]),
      })
    },
  )

  test('every kind says when it is written', () => {
    for (const { says } of Object.values(RECORD_KINDS)) expect(says).toMatch(/^[A-Z].*\.$/)
  })

  test('e-mails enter as salted hashes, wherever they stand, and are found by their hash', () => {
    const sealed = seal(denied({ subject: { ...subject, owner: 'other@example.com', credential: 'jti_1' } }), newSalt)
    expect(textOf(sealed.bytes)).not.toContain('@')
    expect(sealed).toMatchObject({ kind: 'request.denied', at, agent: 'triage-bot', tool: 'tickets', jti: 'jti_1' })
    expect(sealed.opened[sealed.ownerHash!]?.text).toBe('other@example.com')
    const acted = seal(denied(), newSalt)
    expect(acted.opened[acted.ownerHash!]?.text).toBe('sre-lead@example.com')
    expect(seal(denied({ actor: { type: 'agent', id: 'triage-bot' } }), newSalt).ownerHash).toBe(null)
  })

  test('the same text in two records has two hashes, so that neither tells of the other', () => {
    const [one, two] = [seal(denied(), newSalt), seal(denied(), newSalt)]
    expect(Object.keys(one.opened)).toHaveLength(2)
    expect(Object.keys(one.opened).filter((key) => key in two.opened)).toEqual([])
  })

  test('what is undefined is left out', () => {
    const sealed = seal(denied({ body: { approver, reason: undefined } }), newSalt)
    expect(textOf(sealed.bytes)).not.toContain('reason')
  })

  test('hostile text neither breaks a record nor changes its shape', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const sealed = seal(denied({ body: { approver, reason: personal(`${text}\ud800\0`) } }), newSalt)
        expect(reveal(sealed.bytes, sealed.opened).body.reason).toBe(
          `${text.toWellFormed().replaceAll('\0', '\uFFFD')}\uFFFD\uFFFD`,
        )
      }),
    )
    const long = personal('x'.repeat(1_000_000))
    expect(long.text.length).toBeLessThan(8300)
    expect(long.text).toMatch(/cut from 1000000]$/)
  })

  const misfits: [string, object][] = [
    ['an unknown kind', { kind: 'request.made.up' }],
    ['a kind that an object inherits', { kind: 'constructor' }],
    ['another version', { v: 2 }],
    ['a body of another kind', { body: bodies['grant.made'] }],
    ['a member too many', { body: { approver, note: 'x' } }],
    ['free text that is not personal', { body: { approver, reason: 'plain' } }],
    ['an e-mail that is not personal', { kind: 'bearer.made', body: { ...bodies['bearer.made'], holder: 'a@b.c' } }],
    ['an e-mail as an identifier', { subject: { agent: 'a@b.c' } }],
    ['an instant that is not RFC 3339', { at: '2026-03-04' }],
    ['an unknown actor', { actor: { type: 'root', id: 'x' } }],
    [
      'a plain member that poses as personal',
      { kind: 'grant.made', body: { ...bodies['grant.made'], details: { $personal: ['x'] } } },
    ],
    [
      'a member named __proto__',
      { kind: 'grant.made', body: { ...bodies['grant.made'], details: JSON.parse('{"__proto__":["x"]}') } },
    ],
    [
      'a record beyond 65,535 bytes',
      { kind: 'refusal', body: { code: 'forbidden', scopes: Array(256).fill('\u20ac'.repeat(256)) } },
    ],
  ]
  test.each(misfits)('%s is not sealed', (_, more) => {
    expect(() => seal(denied(more), newSalt)).toThrow()
  })

  test('a kind that is not in the list is named in the error', () => {
    expect(() => seal(denied({ kind: 'constructor' }), newSalt)).toThrow('there is no record kind constructor')
  })

  test.each(['{"$personal":"x"}', '{"__proto__":{"a":1}}'])('%s is never concealed as a plain value', (json) => {
    expect(() => conceal({ inner: JSON.parse(json) }, newSalt)).toThrow(/cannot have a member/)
  })

  test('a salt that is not 16 bytes is refused', () => {
    expect(() => seal(denied(), () => new Uint8Array(8))).toThrow(/salt/)
  })
})

describe('revealing', () => {
  const sealed = seal(denied(), newSalt)
  const keyOf = (text: string) => Object.keys(sealed.opened).find((key) => sealed.opened[key]?.text === text)!

  test('an erased text shows as [erased], and the bytes and leaf are what they were', () => {
    const { [keyOf('INC-1042 is mine')]: _, ...left } = sealed.opened
    expect(reveal(sealed.bytes, left).body).toEqual({ approver: 'sre-lead@example.com', reason: '[erased]' })
    expect(reveal(sealed.bytes, {}).actor.id).toBe('[erased]')
    expect(leafHash(sealed.bytes)).toEqual(sealed.leaf)
  })

  test('a text that is not the one that was sealed is never shown', () => {
    const key = keyOf('INC-1042 is mine')
    const salt = sealed.opened[key]!.salt
    expect(reveal(sealed.bytes, { [key]: { salt, text: 'INC-1043' } }).body.reason).toBe('[altered]')
    // The hash covers salt and text run together: moving the border between them must not make another text.
    const shorter = Buffer.from(salt, 'base64url').subarray(0, 15).toString('base64url')
    expect(reveal(sealed.bytes, { [key]: { salt: shorter, text: '\x0fINC-1042 is mine' } }).body.reason).toBe(
      '[altered]',
    )
    expect(reveal(sealed.bytes, { [key]: { salt: '', text: 'INC-1042 is mine' } }).body.reason).toBe('[altered]')
  })
})
