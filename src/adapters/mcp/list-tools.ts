// The tools as one agent sees them: our five, static but for `tool` and `scopes`, which name the agent's own values, and those
// of tools' MCP servers that its grants reach now. What is listed is a help to the model and never an authorization.

import type { Tool } from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import type { ShownTool } from '../../actions/admit-mcp-call.ts'
import type { Edge } from '../../actions/edge.ts'
import type { Toolset } from '../../actions/list-access.ts'
import { TEXT, WAIT_SECONDS_MAX } from '../../core/limits.ts'
import { OUTPUTS } from './tool-outputs.ts'

/** The same array for as long as nothing of it changes. */
export type ReadToolList = (agent: string) => Promise<Tool[]>

export type ToolLists = {
  /** The same array while nothing changes: compiled once per state of what it rests on. */
  readonly of: ReadToolList
  /** The same, as a client is shown it. */
  readonly show: ReadToolList
  /** Whether a client of this agent was shown another list last, or calls what is not on it now. */
  isStale(agent: string, called: string): Promise<boolean>
}

export function createToolLists(
  { toolsetOf, upstreamTools }: Pick<Edge, 'toolsetOf' | 'upstreamTools'>,
  max = 10_000,
): ToolLists {
  const compiled = new LRUCache<string, { readonly stamp: string; readonly tools: Tool[] }>({ max })
  const shown = new LRUCache<string, Tool[]>({ max })
  const of: ReadToolList = async (agent) => {
    const toolset = await toolsetOf(agent)
    const upstream =
      toolset.upstream.length === 0 ? [] : ((await upstreamTools?.shownTo(agent, toolset.upstream)) ?? [])
    const stamp = [toolset.stamp, ...upstream.map((one) => `${one.shown} ${one.digest}`)].join('\n')
    const known = compiled.get(agent)
    if (known?.stamp === stamp) return known.tools
    const tools = [...STATIC_BEFORE, requestAccess(toolset), ...STATIC_AFTER, ...upstream.map(asShown)]
    compiled.set(agent, { stamp, tools })
    return tools
  }
  return {
    of,
    async show(agent) {
      const tools = await of(agent)
      shown.set(agent, tools)
      return tools
    },
    async isStale(agent, called) {
      const last = shown.get(agent)
      const now = await of(agent)
      return (last !== undefined && last !== now) || now.every(({ name }) => name !== called)
    },
  }
}

/** As it was accepted, under the name that tells it from others'. */
const asShown = ({ shown, definition }: ShownTool): Tool => ({ ...(definition as Tool), name: shown })

/** JSON Schema wants at least one value in an `enum`: an agent that may ask for nothing gets none. */
const oneOf = (values: readonly string[]): { enum?: string[] } => (values.length === 0 ? {} : { enum: [...values] })

const requestId = {
  type: 'string',
  description: 'request.id: req_…',
} as const
const grantId = {
  type: 'string',
  description: 'grant.id: grt_…',
} as const

const STATIC_BEFORE: readonly Tool[] = [
  {
    name: 'list_access',
    title: 'What you may ask for, asked for and hold',
    description:
      'Call this first. Lists the tools and scopes that you may ask for (their risk, whether an owner has to approve), your ' +
      'requests that wait, and the grants that you hold. Use a grant that you hold rather than asking again.',
    inputSchema: { type: 'object', properties: {}, additionalProperties: false },
    outputSchema: OUTPUTS.list_access,
    annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
  },
]

const requestAccess = ({ access }: Toolset): Tool => ({
  name: 'request_access',
  title: 'Ask for access to a tool',
  description:
    'Asks for scopes on one tool: the least that the task needs, for no longer than it needs, with a reason that names the ' +
    'ticket, alert or task. The answer is "granted" with a grant, or "pending": an owner has to decide. You cannot approve ' +
    'it, and asking again does not help: show your user the approveUrl and the words for an owner, go on with other work, ' +
    'and look with access_status.',
  inputSchema: {
    type: 'object',
    properties: {
      tool: {
        type: 'string',
        ...oneOf(access.map(({ tool }) => tool)),
        description: 'From list_access.',
      },
      scopes: {
        type: 'array',
        items: {
          type: 'string',
          ...oneOf([...new Set(access.flatMap((one) => one.scopes.map(({ name }) => name)))].sort()),
        },
        minItems: 1,
        description: 'Of that tool; only those that you need now.',
      },
      reason: {
        type: 'string',
        maxLength: TEXT.reason,
        description: 'For a person to judge, such as "INC-4211: add the root cause".',
      },
      durationSeconds: {
        type: 'integer',
        minimum: 1,
        description: 'How long you need it; at most, and by default, maxDurationSeconds of list_access.',
      },
      details: {
        type: 'object',
        additionalProperties: { type: 'array', items: { type: 'string' } },
        description:
          'Limits, such as {"queue": ["incidents"]}. Where list_access shows details for the tool, give values from there.',
      },
    },
    required: ['tool', 'scopes', 'reason'],
    additionalProperties: false,
  },
  outputSchema: OUTPUTS.request_access,
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
})

const STATIC_AFTER: readonly Tool[] = [
  {
    name: 'access_status',
    title: 'How a request or a grant stands',
    description:
      'Says whether your request is pending, granted or refused, or whether your grant is still good. Give either requestId ' +
      'or grantId. While it is pending, look no sooner than after retryAfterSeconds.',
    inputSchema: {
      type: 'object',
      properties: {
        requestId,
        grantId,
        waitSeconds: {
          type: 'integer',
          minimum: 0,
          maximum: WAIT_SECONDS_MAX,
          description: 'How long the answer may wait for a decision; by default not at all.',
        },
      },
      additionalProperties: false,
    },
    outputSchema: OUTPUTS.access_status,
    annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
  },
  {
    name: 'issue_token',
    title: 'A short-lived token for a grant',
    description:
      'Mints a token that lives for minutes, for a grant whose delivery is "inline" and no other. Send it to its resource ' +
      'and nowhere else, as "Authorization: Bearer …" unless the answer\'s "use" says how. Once it has expired, call again.',
    inputSchema: { type: 'object', properties: { grantId }, required: ['grantId'], additionalProperties: false },
    outputSchema: OUTPUTS.issue_token,
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
  },
  {
    name: 'release_access',
    title: 'Give access back',
    description:
      'Gives back a grant (its tokens die with it), or withdraws a request that waits. Give either grantId or requestId. Do ' +
      'it as soon as the task is done.',
    inputSchema: { type: 'object', properties: { grantId, requestId }, additionalProperties: false },
    outputSchema: OUTPUTS.release_access,
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  },
]
