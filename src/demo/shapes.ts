// What the demo reads of each answer; all else in it is let through unread.
import { z } from 'zod'

const Grant = z.object({ id: z.string(), tool: z.string(), scopes: z.array(z.string()), expiresAt: z.string() })

export const Access = z.object({
  access: z.array(z.object({ tool: z.string(), scopes: z.array(z.object({ name: z.string() })) })),
})
export const Granted = z.object({ status: z.literal('granted'), grant: Grant })
export const Pending = z.object({
  status: z.literal('pending'),
  request: z.object({ id: z.string(), words: z.string(), owners: z.array(z.string()) }),
  approveUrl: z.string(),
})
export const Refused = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string(),
    manifestPatch: z.string().optional(),
  }),
})
export const InlineToken = z.object({ accessToken: z.string(), resource: z.string() })

export const Tickets = z.object({ tickets: z.array(z.object({ id: z.string(), subject: z.string() })) })
export const Samples = z.object({
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
})
/** The API's refusal (RFC 9457). */
export const ApiProblem = z.object({ code: z.string(), detail: z.string() })
/** A tool's refusal, as the guard words it (RFC 9457). */
export const ToolRefusal = z.object({ code: z.string(), message: z.string() })

export const AskedRequest = z.object({
  agent: z.string(),
  reason: z.string(),
  scopes: z.array(z.string()),
  hash: z.string(),
})
export const Approved = z.object({
  grant: z.object({ id: z.string(), approvedBy: z.array(z.string()), expiresAt: z.string() }),
})

export const Revisions = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      narrowings: z.array(z.string()),
      waiting: z.number(),
      widenings: z.array(
        z.object({
          status: z.string(),
          diff: z.array(z.string()),
          needs: z.array(z.object({ as: z.string(), of: z.string(), eligible: z.array(z.string()) })),
        }),
      ),
    }),
  ),
})
export const Settled = z.object({ settled: z.array(z.object({ status: z.string() })), others: z.array(z.unknown()) })

export const Sessions = z.object({ items: z.array(z.object({ id: z.string(), status: z.string() })) })
const receipt = {
  id: z.string(),
  act: z.string(),
  target: z.string(),
  by: z.string(),
  status: z.string(),
  counts: z.object({ sessions: z.number(), requests: z.number(), grants: z.number(), credentials: z.number() }),
  confirmations: z.array(
    z.object({
      tool: z.string(),
      credentials: z.number(),
      status: z.string(),
      how: z.string().nullish(),
      afterMilliseconds: z.number().optional(),
    }),
  ),
}
export const Receipt = z.object(receipt)
export const SessionRevoked = z.object({ ...receipt, note: z.string() })
export const AgentStatus = z.object({ status: z.string() })
