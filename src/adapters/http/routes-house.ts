// The house itself: how it stands, who one is, what an agent can do and why, keys, and the operator's tokens.

import { z } from '@hono/zod-openapi'
import { authorize } from '../../actions/authorize.ts'
import { explainAccess } from '../../actions/explain-access.ts'
import { listRows } from '../../actions/list-rows.ts'
import { makeBearer } from '../../actions/make-bearer.ts'
import { readStatus } from '../../actions/read-status.ts'
import { resetClock } from '../../actions/reset-clock.ts'
import { type BearerView, listBearers, revokeBearer } from '../../actions/revoke-bearer.ts'
import { rotateKeys } from '../../actions/rotate-keys.ts'
import { withdrawKeys } from '../../actions/withdraw-keys.ts'
import { TEXT } from '../../core/limits.ts'
import { keyOf } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import { rfc3339 } from '../../core/record.ts'
import { err, ok } from '../../core/result.ts'
import { VERSION } from '../../core/version.ts'
import { listOf } from './answers.ts'
import { bearer, clockReset, explanation, key, madeBearer, rotation, status, whoami } from './answers-house.ts'
import { byId, id, instant, name, page, reason, scope, why } from './inputs.ts'
import { presentKey, presentReceipt } from './present-rows.ts'
import { type Call, type Route, route } from './route.ts'

const BEARER_KINDS = ['owner', 'admin', 'auditor', 'publisher', 'verifier'] as const

const presentBearer = ({ id, kind, subject, madeBy, createdAt, expiresAt, revokedAt, state, warning }: BearerView) => ({
  id,
  kind,
  subject,
  madeBy,
  createdAt: rfc3339(createdAt),
  expiresAt: rfc3339(expiresAt),
  ...(revokedAt === null ? {} : { revokedAt: rfc3339(revokedAt) }),
  status: state,
  ...(warning === null ? {} : { warning }),
})

async function presentCaller({ caller, reader }: Call) {
  switch (caller.role) {
    case 'operator':
      return { role: caller.role, subject: 'the local socket' }
    case 'agent': {
      const session = (await reader.read([keyOf('session', caller.session)])).get('session', caller.session)
      return {
        role: caller.role,
        subject: caller.agent,
        session: caller.session,
        ...(session === undefined ? {} : { expiresAt: rfc3339(session.expiresAt) }),
      }
    }
    default: {
      const row = (await reader.read([keyOf('bearer', caller.bearer)])).get('bearer', caller.bearer)
      return {
        role: caller.role,
        subject: caller.role === 'owner' ? caller.email : caller.id,
        token: caller.bearer,
        ...(row === undefined ? {} : { expiresAt: rfc3339(row.expiresAt) }),
      }
    }
  }
}

export const houseRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/status',
    acts: ['status.read'],
    says: 'What is outstanding, waiting, overdue, locked and stale.',
    answer: status,
    async run({ deps, caller, parts }) {
      const read = await readStatus(deps, caller)
      if (!read.ok) return read
      const { outstanding, ...rest } = read.value
      return ok({
        version: VERSION,
        ...rest,
        manifestFaults: parts.manifestFaults?.() ?? [],
        outstanding: {
          count: outstanding.count,
          items: outstanding.items.map((item) => ({ ...item, status: 'outstanding' as const })),
        },
      })
    },
  }),
  route({
    method: 'get',
    path: '/can',
    acts: ['can.ask'],
    says: 'Yes or no, and why: manifest file and line, revision, approval, locks; as it was at `at`.',
    query: z.strictObject({ agent: name, tool: name, scope, at: instant.optional() }),
    answer: explanation,
    run: async ({ deps, context }, { query: { at, ...asked } }) =>
      explainAccess(deps, context, at === undefined ? asked : { ...asked, at }),
  }),
  route({
    method: 'get',
    path: '/whoami',
    acts: [],
    says: 'Who this token is.',
    answer: whoami,
    run: async (call) => ok(await presentCaller(call)),
  }),
  route({
    method: 'get',
    path: '/keys',
    acts: ['key.list'],
    says: "The broker's own public keys, and which signs.",
    query: z.strictObject(page),
    answer: listOf(key),
    async run({ deps, caller }, { query: { limit, after } }) {
      const listed = await listRows(deps, caller, { kind: 'key', act: 'key.list', about: () => ({}), after, limit })
      return listed.ok ? ok({ items: listed.value.rows.map(presentKey), next: listed.value.next }) : listed
    },
  }),
  route({
    method: 'post',
    path: '/keys/rotate',
    acts: ['key.rotate'],
    says: 'Publishes a new token key, which signs once every cache has it; `compromised`: withdraws keys at once, with all that they signed.',
    body: z.strictObject({
      alg: z.string().max(16).optional(),
      compromised: z.boolean().optional(),
      kid: id.optional(),
      reason: reason.optional(),
    }),
    answer: rotation,
    async run({ deps, parts, caller, context, reader }, { body: { alg, compromised, kid, reason: because } }) {
      const refused = await authorize(reader, caller, 'key.rotate')
      if (refused !== null) return err(refused)
      if (compromised === true) {
        if (alg !== undefined) return err(problem('invalid_request', 'Name the key that is compromised by its kid.'))
        const gone = await withdrawKeys(deps, parts.keys, context, { kid: kid ?? null, reason: because ?? null })
        if (!gone.ok) return gone
        const { signsFrom, withdrawn, revocation } = gone.value
        const receipt = presentReceipt(revocation, deps.clock.now())
        return ok({ kid: gone.value.kid, signsFrom: rfc3339(signsFrom), withdrawn, receipt })
      }
      if (kid !== undefined || because !== undefined)
        return err(problem('invalid_request', '`kid` and `reason` are for a key that is compromised.'))
      const done = await rotateKeys(deps, parts.keys, context, alg === undefined ? {} : { alg })
      return done.ok ? ok({ kid: done.value.kid, signsFrom: rfc3339(done.value.signsFrom) }) : done
    },
  }),
  route({
    method: 'get',
    path: '/operator/tokens',
    acts: ['bearer.list'],
    says: 'Bearer tokens there are, never the tokens themselves. On the local socket only.',
    query: z.strictObject({ ...page, kind: z.enum(BEARER_KINDS).optional(), tool: name.optional() }),
    answer: listOf(bearer),
    async run({ deps, context }, { query: { limit, after, kind, tool } }) {
      const listed = await listBearers(deps, context, {
        limit,
        ...(after === undefined ? {} : { after }),
        ...(kind === undefined ? {} : { kind }),
        ...(tool === undefined ? {} : { tool }),
      })
      return listed.ok ? ok({ items: listed.value.bearers.map(presentBearer), next: listed.value.next }) : listed
    },
  }),
  route({
    method: 'post',
    path: '/operator/tokens',
    acts: ['bearer.make'],
    says: 'Makes a bearer token and shows it once. On the local socket only.',
    body: z.strictObject({
      kind: z.enum(BEARER_KINDS),
      subject: z.string().min(1).max(TEXT.email),
      ttlSeconds: z.int().min(1).optional(),
    }),
    status: 201,
    answer: madeBearer,
    async run({ deps, context }, { body: { kind, subject, ttlSeconds } }) {
      const made = await makeBearer(deps, context, {
        kind,
        subject,
        ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      })
      if (!made.ok) return made
      const { secret, expiresAt, ...shown } = made.value
      return ok({ ...shown, expiresAt: rfc3339(expiresAt), token: secret.reveal() })
    },
  }),
  route({
    method: 'post',
    path: '/operator/tokens/{id}/revoke',
    acts: ['bearer.revoke'],
    says: 'Takes a bearer token back. On the local socket only.',
    params: byId,
    body: why,
    answer: bearer,
    async run({ deps, context }, { params, body }) {
      const done = await revokeBearer(deps, context, {
        id: params.id,
        ...(body.reason === undefined ? {} : { reason: body.reason }),
      })
      return done.ok ? ok(presentBearer(done.value)) : done
    },
  }),
  route({
    method: 'post',
    path: '/operator/clock/reset',
    acts: ['clock.reset'],
    says: 'After a clock that ran ahead was set right: lowers the highest time seen, and ends every session and credential. On the local socket only.',
    answer: clockReset,
    async run({ deps, context }) {
      const done = await resetClock(deps, context)
      if (!done.ok) return done
      const { highest, mark, grantsToo, revocation } = done.value
      return ok({
        before: rfc3339(highest),
        mark: rfc3339(mark),
        grantsToo,
        receipt: presentReceipt(revocation, deps.clock.now()),
      })
    },
  }),
]
