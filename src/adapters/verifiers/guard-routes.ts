// The live side of guards: the feed's connections and the leases. A connection lives no longer than the verifier token that
// opened it, and none is open while the store's log is not followed.

import { z } from 'zod'
import { staleView } from '../../actions/authenticate-session.ts'
import type { Edge } from '../../actions/edge.ts'
import { GUARD_LEASE_SECONDS, GUARDS_PER_TOOL } from '../../core/limits.ts'
import { keyOf } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import type { DenialFeed } from './denial-feed.ts'
import { type FeedConnection, openFeedStream } from './feed-stream.ts'
import type { GuardLeases } from './guard-leases.ts'
import { askingOf, refusal, refused, type VerifierContext } from './refusal.ts'
import { verifierGate } from './verifier-gate.ts'

const TEND_MS = 1_000

type Open = FeedConnection & { readonly tool: string; readonly bearer: string }

export type GuardRoutes = {
  feed(c: VerifierContext): Promise<Response>
  lease(c: VerifierContext): Promise<Response>
  /** Ends the connections whose verifier token is no longer good. */
  recheck(): Promise<void>
  close(): void
}

const leaseRequest = z.strictObject({
  guard: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  ackSeq: z.int().nonnegative(),
})

const tooMany = () =>
  refused(
    problem('overloaded', `There are ${GUARDS_PER_TOOL} guards of this tool already.`, {
      retryable: true,
      retryAfterSeconds: GUARD_LEASE_SECONDS,
    }),
  )

export function createGuardRoutes(edge: Edge, feed: DenialFeed, leases: GuardLeases): GuardRoutes {
  const open = new Set<Open>()
  let isClosed = false

  async function recheck(): Promise<void> {
    if (open.size === 0) return
    const bearers = [...new Set([...open].map(({ bearer }) => bearer))]
    const rows = await edge.deps.store.read(bearers.map((id) => keyOf('bearer', id)))
    const now = edge.deps.clock.now()
    for (const connection of [...open]) {
      const bearer = rows.get('bearer', connection.bearer)
      const isGone = bearer === undefined || bearer.revokedAt !== null || bearer.expiresAt <= now
      if (isGone || connection.isStalled()) connection.end()
    }
  }
  const tending = setInterval(() => {
    recheck().catch((thrown) => edge.deps.log.error({ err: thrown }, 'the guards could not be looked after'))
  }, TEND_MS)
  tending.unref()

  return {
    async feed(c) {
      const verifier = await verifierGate(edge, askingOf(c), 'feed')
      if (!verifier.ok) return refusal(c, verifier.error)
      const { tool, bearer } = verifier.value
      const after = positionOf(c.req.url)
      if (after === null)
        return refusal(
          c,
          refused(problem('invalid_request', 'after must be a position, and nothing else may be asked.')),
        )
      if (isClosed || !feed.isCurrent()) return refusal(c, refused(staleView()))
      if ([...open].filter((other) => other.tool === tool).length >= GUARDS_PER_TOOL) return refusal(c, tooMany())
      const connection: Open = {
        ...openFeedStream(feed, {
          tool,
          after,
          named: () => leases.named(tool),
          onEnd: () => open.delete(connection),
        }),
        tool,
        bearer,
      }
      open.add(connection)
      return c.body(connection.body, 200, {
        'Content-Type': 'text/event-stream',
        'Cache-Control': 'no-store',
        'X-Accel-Buffering': 'no',
      })
    },
    async lease(c) {
      const verifier = await verifierGate(edge, askingOf(c), 'lease')
      if (!verifier.ok) return refusal(c, verifier.error)
      const asked = leaseRequest.safeParse(parseJson(await c.req.text()))
      if (!asked.success)
        return refusal(
          c,
          refused(problem('invalid_request', 'The body must be {"guard":"…","ackSeq":0} and nothing more.')),
        )
      if (isClosed || !feed.isCurrent()) return refusal(c, refused(staleView()))
      const { tool } = verifier.value
      const renewed = leases.renew(tool, asked.data.guard, asked.data.ackSeq)
      if (renewed === 'full') return refusal(c, tooMany())
      if (renewed === 'ahead')
        return refusal(
          c,
          refused(
            problem('conflict', 'The broker knows less than this guard has applied.', {
              hint: 'Start over: connect to the feed with after=0.',
            }),
          ),
        )
      // The guard waits for the position that the lease names: its feed says it now, and not at the next heartbeat.
      feed.nudge(tool)
      return c.json(renewed, 200, { 'Cache-Control': 'no-store' })
    },
    recheck,
    close() {
      isClosed = true
      clearInterval(tending)
      for (const connection of [...open]) connection.end()
    },
  }
}

/** `after=SEQ` alone; without it a guard has nothing. */
function positionOf(url: string): number | null {
  const [, query = ''] = /\?(.*)$/s.exec(url) ?? []
  if (query === '') return 0
  const [, digits] = /^after=(\d{1,16})$/.exec(query) ?? []
  const position = Number(digits)
  return digits !== undefined && Number.isSafeInteger(position) ? position : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
