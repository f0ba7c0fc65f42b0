// How this client can be told to wait, by what it declared on this very request. Nothing is sent to it that it did not
// declare, and what it declared gives it no right.

import { randomUUID } from 'node:crypto'
import { CLIENT_CAPABILITIES_META_KEY, type Server, type ServerContext } from '@modelcontextprotocol/server'
import { WAIT_SECONDS_MAX } from '../../core/limits.ts'
import type { LinkAnswer } from '../../core/link-answer.ts'

/** The extension of durable tasks (SEP-2663). */
export const TASKS = 'io.modelcontextprotocol/tasks'

export type Link = { readonly message: string; readonly url: string }

export type Ways = {
  readonly tasks: boolean
  /**
   * How a link is shown at the client: `later`, in a result that it comes back from (2026-07-28), or within the call, while
   * it is held open (2025-11-25). Null: it shows none.
   */
  readonly link: 'later' | ((link: Link, signal: AbortSignal) => Promise<LinkAnswer>) | null
  /** What it came back with. */
  readonly back: { readonly state: string; readonly responses: unknown } | null
}

/** For a client that declared nothing. */
export const NO_WAYS: Ways = { tasks: false, link: null, back: null }

/** What a client of 2026-07-28 sends with each request, in its `_meta`. */
export const capabilitiesIn = (meta: unknown): unknown => fieldsOf(meta)[CLIENT_CAPABILITIES_META_KEY]

/** `capabilities` is what a client of 2026-07-28 sends with each request. `elicitation: {}` means forms alone. */
export function declaredWays(capabilities: unknown): Pick<Ways, 'tasks' | 'link'> {
  const { extensions, elicitation } = fieldsOf(capabilities)
  return { tasks: isObject(fieldsOf(extensions)[TASKS]), link: showsLinks(elicitation) ? 'later' : null }
}

/** Of one call that is served by the SDK, whichever the era. */
export function waysOf(server: Server, context: ServerContext): Ways {
  const { envelope } = context.mcpReq
  if (envelope === undefined) return { ...NO_WAYS, link: linkWithin(server, context) }
  return { ...declaredWays(capabilitiesIn(envelope)), back: stateIn(context) }
}

/** What a client of 2026-07-28 came back with. */
export function stateIn({ mcpReq }: ServerContext): Ways['back'] {
  if (mcpReq.envelope === undefined) return null
  const state = mcpReq.requestState<unknown>()
  return typeof state === 'string' ? { state, responses: mcpReq.inputResponses } : null
}

/** What its client says that it can be asked; null: nothing. */
export function elicitationOf(server: Server, { mcpReq }: ServerContext): Fields | null {
  const { envelope } = mcpReq
  const capabilities = envelope === undefined ? server.getClientCapabilities() : capabilitiesIn(envelope)
  const { elicitation } = fieldsOf(capabilities)
  return isObject(elicitation) ? elicitation : null
}

/** A client without a session declares nothing that outlives its first request: it can only be told to wait. */
function linkWithin(server: Server, { mcpReq }: ServerContext): Ways['link'] {
  if (!showsLinks(server.getClientCapabilities()?.elicitation)) return null
  return async (link, signal) => {
    const asked = { mode: 'url', ...link, elicitationId: randomUUID() } as const
    const { action } = await mcpReq.elicitInput(asked, {
      signal,
      timeout: WAIT_SECONDS_MAX * 1000,
      relatedRequestId: mcpReq.id,
    })
    return action
  }
}

const showsLinks = (elicitation: unknown): boolean => isObject(fieldsOf(elicitation).url)

type Fields = { readonly [key: string]: unknown }

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const NOTHING: Fields = Object.freeze(Object.create(null))

/** Own fields alone. */
const fieldsOf = (value: unknown): Fields => (isObject(value) ? { ...NOTHING, ...value } : NOTHING)
