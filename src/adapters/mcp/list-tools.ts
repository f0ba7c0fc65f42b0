// The five tools as one agent sees them: static but for `tool` and `scopes`, which name the agent's own values. What is
// listed is a help to the model and never an authorization.

import type { Tool } from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import type { ReadToolset, Toolset } from '../../actions/list-access.ts'
import { OPEN, TEXT, WAIT_SECONDS_MAX } from '../../core/limits.ts'
import { OUTPUTS } from './tool-outputs.ts'

/** The same array for as long as nothing of it changes. */
export type ReadToolList = (agent: string) => Promise<Tool[]>

export type ToolLists = {
  /** The same array while nothing changes: compiled once per state of what it rests on. */
  readonly of: ReadToolList
  /** The same, as a client is shown it. */
  readonly show: ReadToolList
  /** Whether a client of this agent was shown another list last, so that what it calls may be gone. */
  isStale(agent: string): Promise<boolean>
}

export function createToolLists(toolsetOf: ReadToolset, max = 10_000): ToolLists {
  const compiled = new LRUCache<string, { readonly stamp: string; readonly tools: Tool[] }>({ max })
  const shown = new LRUCache<string, Tool[]>({ max })
  const of: ReadToolList = async (agent) => {
    const toolset = await toolsetOf(agent)
    const known = compiled.get(agent)
    if (known?.stamp === toolset.stamp) return known.tools
    const tools = [...STATIC_BEFORE, requestAccess(toolset), ...STATIC_AFTER]
    compiled.set(agent, { stamp: toolset.stamp, tools })
    return tools
  }
  return {
    of,
    async show(agent) {
      const tools = await of(agent)
      shown.set(agent, tools)
      return tools
    },
    async isStale(agent) {
      const last = shown.get(agent)
      return last !== undefined && last !== (await of(agent))
    },
  }
}

/** JSON Schema wants at least one value in an `enum`: an agent that may ask for nothing gets none. */
const oneOf = (values: readonly string[]): { enum?: string[] } => (values.length === 0 ? {} : { enum: [...values] })

const requestId = {
  type: 'string',
  description: 'Id of one of your requests (request.id in a pending answer): req_…',
} as const
const grantId = {
  type: 'string',
  description: 'Id of one of your grants (grant.id in a granted answer, or from list_access): grt_…',
} as const

const STATIC_BEFORE: readonly Tool[] = [
  {
    name: 'list_access',
    title: 'What you may ask for, asked for and hold',
    description:
      'Call this first. Lists the tools and scopes that your manifest lets you ask for (with their risk, and whether an ' +
      'owner has to approve), your requests that still wait for an owner, and the grants that you hold now. Use a grant ' +
      'that you hold rather than asking again. Takes no arguments and changes nothing.',
    inputSchema: { type: 'object', properties: {}, additionalProperties: false },
    outputSchema: OUTPUTS.list_access,
    annotations: { readOnlyHint: true, idempotentHint: true, openWorldHint: false },
  },
]

const requestAccess = ({ access }: Toolset): Tool => ({
  name: 'request_access',
  title: 'Ask for access to a tool',
  description:
    'Asks for scopes on one tool. Ask for the least that the task needs, for no longer than it needs, and give a reason ' +
    'that names the ticket, alert or task: a person reads it. The answer is "granted" with a grant, or "pending": then ' +
    'an owner has been asked and has to decide. You cannot approve it yourself, and asking again does not help: show ' +
    'your user the approveUrl and the words, to send to an owner, go on with other work, and look with access_status. ' +
    'A refusal says what you may ask for instead. The same request twice gives the same answer, not two requests.',
  inputSchema: {
    type: 'object',
    properties: {
      tool: {
        type: 'string',
        ...oneOf(access.map(({ tool }) => tool)),
        description: 'Name of the tool, from list_access.',
      },
      scopes: {
        type: 'array',
        items: {
          type: 'string',
          ...oneOf([...new Set(access.flatMap((one) => one.scopes.map(({ name }) => name)))].sort()),
        },
        minItems: 1,
        maxItems: OPEN.scopesPerRequest,
        uniqueItems: true,
        description: 'Scopes of that tool, from list_access. Only those that you need now.',
      },
      reason: {
        type: 'string',
        minLength: 1,
        maxLength: TEXT.reason,
        description:
          'Why you need it, for the owner to read. Name the ticket, alert or task: "INC-4211: add the root cause".',
      },
      durationSeconds: {
        type: 'integer',
        minimum: 1,
        description:
          'How long you need it, in seconds; cut to maxDurationSeconds of list_access. Left out: that maximum.',
      },
      details: {
        type: 'object',
        additionalProperties: {
          type: 'array',
          items: { type: 'string', minLength: 1, maxLength: TEXT.label },
          minItems: 1,
          maxItems: OPEN.valuesPerDetail,
        },
        maxProperties: OPEN.detailsPerRequest,
        description:
          'Limits within the scopes, such as {"queue": ["incidents"]}. Where list_access shows details for the tool, ' +
          'give them, with values from there.',
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
      'Says whether a request of yours is still pending, was granted or was refused, or whether a grant is still good. ' +
      'Give either requestId or grantId. With waitSeconds the answer waits that long for the owner to decide; while it ' +
      'is pending, wait at least retryAfterSeconds before the next look.',
    inputSchema: {
      type: 'object',
      properties: {
        requestId,
        grantId,
        waitSeconds: {
          type: 'integer',
          minimum: 0,
          maximum: WAIT_SECONDS_MAX,
          description: `How long to wait for a decision, in seconds, 0 to ${WAIT_SECONDS_MAX}. Left out: not at all.`,
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
      'Mints a token that lives for minutes under a grant whose delivery is "inline". Send it as "Authorization: Bearer …" ' +
      'to the resource and nowhere else; never repeat it to a person, in a file or in a log. When it has expired, call ' +
      'this again. Grants with delivery "exchange" are redeemed by your runtime and need no call of yours.',
    inputSchema: { type: 'object', properties: { grantId }, required: ['grantId'], additionalProperties: false },
    outputSchema: OUTPUTS.issue_token,
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false, openWorldHint: false },
  },
  {
    name: 'release_access',
    title: 'Give access back',
    description:
      'Gives back a grant that you no longer need (its tokens die with it), or withdraws a request that still waits. Give ' +
      'either grantId or requestId. Do it as soon as the task is done. "revoking" means that the tool has yet to confirm.',
    inputSchema: { type: 'object', properties: { grantId, requestId }, additionalProperties: false },
    outputSchema: OUTPUTS.release_access,
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  },
]
