// A token that was found somewhere: what it is, and, where asked, taken away at once.

import { z } from '@hono/zod-openapi'
import { type Inspected, inspectToken, type Takes } from '../../actions/inspect-token.ts'
import { revoke } from '../../actions/revoke.ts'
import { revokeBearer } from '../../actions/revoke-bearer.ts'
import { TOKEN_BYTES_MAX } from '../../core/limits.ts'
import type { Problem } from '../../core/problem.ts'
import { ok, type Result } from '../../core/result.ts'
import { Secret } from '../../core/secret.ts'
import { inspected } from './answers-house.ts'
import { reason } from './inputs.ts'
import { presentReceipt } from './present-rows.ts'
import { type Call, type Route, route } from './route.ts'

const FOUND = 'found somewhere'

type Answered = Inspected & { readonly receipt?: ReturnType<typeof presentReceipt> }

async function take(
  { deps, context }: Call,
  found: Inspected,
  takes: Takes,
  why: string,
): Promise<Result<Answered, Problem>> {
  if (takes === null) return ok(found)
  if (takes.kind === 'bearer') {
    const done = await revokeBearer(deps, context, { id: takes.id, reason: why })
    const places = found.places.map((place) => ({ ...place, alive: false, how: 'revoked just now' }))
    return done.ok ? ok({ ...found, alive: false, places }) : done
  }
  const done = await revoke(deps, context, { kind: takes.kind, id: takes.id, reason: why })
  return done.ok ? ok({ ...found, receipt: presentReceipt(done.value, deps.clock.now()) }) : done
}

export const inspectRoutes: readonly Route[] = [
  route({
    method: 'post',
    path: '/inspect',
    acts: ['token.inspect'],
    says: 'What a found token or key is: whose, approved by whom, given where, alive where. `revoke` takes it away too.',
    body: z.strictObject({
      token: z.string().min(1).max(TOKEN_BYTES_MAX),
      revoke: z.boolean().default(false),
      reason: reason.optional(),
    }),
    answer: inspected,
    async run(call, { body }) {
      const done = await inspectToken(call.deps, call.context, new Secret(body.token))
      if (!done.ok) return done
      const { inspected: found, takes } = done.value
      return body.revoke ? take(call, found, takes, body.reason ?? FOUND) : ok<Answered>(found)
    },
  }),
]
