// The trail over HTTP: records, the signed head, proofs, the key to check them with, and the whole log as an export.

import { z } from '@hono/zod-openapi'
import type { RecordFilter } from '../../actions/ports.ts'
import { exportAudit, proveRecord, readAudit, readAuditKey, readCheckpoint } from '../../actions/read-audit.ts'
import type { Problem } from '../../core/problem.ts'
import { RECORD_KINDS, type RecordKind } from '../../core/record-kinds.ts'
import { ok, type Result } from '../../core/result.ts'
import { listOf } from './answers.ts'
import { auditEntry, proof } from './answers-house.ts'
import { email, id, index, instant, name, page } from './inputs.ts'
import { type Route, route } from './route.ts'

const whole = z.custom<Response>((value) => value instanceof Response)
const kinds = Object.keys(RECORD_KINDS) as [RecordKind, ...RecordKind[]]

const filters = {
  agent: name.optional(),
  tool: name.optional(),
  owner: email.optional(),
  jti: id.optional(),
  kind: z.enum(kinds).optional(),
  since: instant.optional(),
  until: instant.optional(),
}

const filterOf = (given: { readonly [Name in keyof RecordFilter]?: RecordFilter[Name] | undefined }): RecordFilter =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))

const textRoute = (
  path: Route['path'],
  says: string,
  read: (call: Parameters<Route['run']>[0]) => Promise<Result<string, Problem>>,
) =>
  route({
    method: 'get',
    path,
    acts: ['audit.read'],
    says,
    contentType: 'text/plain',
    answer: whole,
    async run(call) {
      const done = await read(call)
      return done.ok
        ? ok(
            new Response(done.value, {
              headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
            }),
          )
        : done
    },
  })

export const auditRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/audit',
    acts: ['audit.read'],
    says: 'Records, oldest first, from the one after `after`; an owner sees those about what they own.',
    query: z.strictObject({
      limit: page.limit,
      after: index('Index of the last record already read.').optional(),
      ...filters,
    }),
    answer: listOf(auditEntry),
    async run({ deps, caller }, { query: { limit, after, ...filter } }) {
      const listed = await readAudit(deps, caller, { filter: filterOf(filter), after: after ?? null, limit })
      return listed.ok ? ok({ items: listed.value.rows, next: listed.value.next }) : listed
    },
  }),
  textRoute('/audit/checkpoint', 'The head of the log as a C2SP signed note.', ({ deps, caller }) =>
    readCheckpoint(deps, caller),
  ),
  textRoute('/audit/key', 'The C2SP verifier key of the log: the content of hallpass.pub.', async ({ deps, caller }) =>
    readAuditKey(deps, caller),
  ),
  route({
    method: 'get',
    path: '/audit/proof',
    acts: ['audit.read'],
    says: 'That record `index` is in the tree of `size` records (RFC 9162); hashes in base64.',
    query: z.strictObject({
      index: index('Of the record.'),
      size: index('Of the tree; the present one by default.').optional(),
    }),
    answer: proof,
    run: ({ deps, caller }, { query }) => proveRecord(deps, caller, { index: query.index, size: query.size ?? null }),
  }),
  route({
    method: 'get',
    path: '/audit/export',
    acts: ['audit.export'],
    says: 'The log as JSON lines, its signed checkpoint last; filtered, each record with its inclusion proof. It is recorded.',
    contentType: 'application/jsonl',
    query: z.strictObject(filters),
    answer: whole,
    async run({ deps, context, signal }, { query }) {
      const lines = await exportAudit(deps, context, filterOf(query))
      if (!lines.ok) return lines
      return ok(
        new Response(streamOf(lines.value, signal), {
          headers: {
            'content-type': 'application/jsonl',
            'cache-control': 'no-store',
            'content-disposition': 'attachment; filename="hallpass-audit.jsonl"',
          },
        }),
      )
    },
  }),
]

/** Reads on only as fast as the client takes it. */
function streamOf(lines: AsyncGenerator<string>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const utf8 = new TextEncoder()
  return new ReadableStream({
    async pull(controller) {
      const next = signal.aborted ? ({ done: true } as const) : await lines.next()
      if (next.done) controller.close()
      else controller.enqueue(utf8.encode(next.value))
    },
    async cancel() {
      await lines.return(undefined)
    },
  })
}
