// What a grant says about its use, for a client that has no runtime of its own: where its credential lies, in place of how
// to get one. Everything else of a message stays as the broker sent it; no token is ever put into one.

import { listOf, objectOf, textOf } from '../show.ts'
import { isAnswer, type Message, type Request, toolCalledBy } from './json-rpc.ts'
import type { KeptGrants } from './kept-grants.ts'

type Fields = Readonly<Record<string, unknown>>

/** Tools that show grants. */
const SHOWING = new Set(['list_access', 'request_access', 'access_status'])
/** Deliveries in which somebody other than the model redeems the grant. */
const REDEEMED = new Set(['exchange', 'proxy'])

/** Where a broker's own MCP server is: no tool below `/tools/` is there. */
const OWN_TOOLS = /^https?:\/\/[^/]+\/mcp$/

export type Dress = {
  /** `request`: what the message came for; null: it came by itself. */
  dress(message: Message, request: Request | null): Promise<Message>
  /** Requests that the client made here and of which no end was seen. */
  unsettled(): readonly string[]
}

export function createDress(kept: KeptGrants): Dress {
  /** Requests and tasks that this client's own asking made. */
  const asked = new Set<string>()

  /** `isWanted`: it is what was asked about. Others are redeemed when they are: that may make an account in a tool. */
  const grantOf = async (grant: Fields, isWanted: boolean): Promise<Fields> => {
    if (!REDEEMED.has(textOf(grant.delivery)) || textOf(grant.id) === '') return grant
    const use = objectOf(grant.use)
    const tools = listOf(use.tools).map(textOf)
    // Called as tools of this very server: nothing is redeemed for them.
    if (tools.length > 0 && OWN_TOOLS.test(textOf(use.resource))) return grant
    if (!isWanted && kept.find(textOf(grant.id)) === null) return { ...grant, use: { ...use, how: LATER } }
    try {
      const { headerFile, tokenFile } = await kept.keep({ id: textOf(grant.id), tool: textOf(grant.tool) })
      return {
        ...grant,
        use: {
          ...use,
          how: orTools(tools) + howTo(textOf(use.resource), headerFile, tokenFile),
          headerFile,
          tokenFile,
        },
      }
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : 'something broke'
      const how = `Its credential cannot be had just now (${why}). Call access_status with this grantId to try again.`
      return { ...grant, use: { ...use, how } }
    }
  }

  const resultOf = async (result: Fields, isAsked: boolean): Promise<Fields> => {
    const said = objectOf(result.structuredContent)
    const one = objectOf(said.grant)
    if (isAsked && textOf(one.id) !== '') kept.own(textOf(one.id))
    const dressed = {
      ...said,
      ...(said.grant === undefined ? {} : { grant: await grantOf(one, true) }),
      ...(said.grants === undefined
        ? {}
        : { grants: await Promise.all(listOf(said.grants).map((grant) => grantOf(objectOf(grant), false))) }),
    }
    const before = JSON.stringify(said)
    const after = JSON.stringify(dressed)
    if (before === after) return result
    const hows = [one, ...listOf(said.grants).map(objectOf)].map((grant) => textOf(objectOf(grant.use).how))
    const now = [objectOf(dressed.grant), ...listOf(dressed.grants).map(objectOf)].map((grant) =>
      textOf(objectOf(grant.use).how),
    )
    const content = listOf(result.content).map((block) => {
      const { type, text } = objectOf(block)
      if (type !== 'text' || typeof text !== 'string') return block
      // Replacements by a function: what a path holds is never a pattern.
      const whole = text.replace(before, () => after)
      const [first, ...rest] = whole.split('\n\n')
      const says = hows.reduce(
        (line, how, at) => (how === '' ? line : line.replace(how, () => now[at] ?? '')),
        first ?? '',
      )
      return { ...objectOf(block), text: [says, ...rest].join('\n\n') }
    })
    return { ...result, content, structuredContent: dressed }
  }

  /** A result, or the task or its state that holds one. */
  const within = async (value: Fields, isAsked: boolean): Promise<Fields> => {
    if (value.structuredContent !== undefined) return resultOf(value, isAsked)
    const { result, task } = value
    return {
      ...value,
      ...(result === undefined ? {} : { result: await within(objectOf(result), isAsked) }),
      ...(task === undefined ? {} : { task: await within(objectOf(task), isAsked) }),
    }
  }

  /** Resources say the same in JSON. */
  const resourcesOf = async (result: Fields): Promise<Fields> => {
    const contents = listOf(result.contents).map(async (one) => {
      const { uri, text } = objectOf(one)
      const [, requestId = ''] = /^hallpass:\/\/(?:grants|requests)\/(.*)$/.exec(textOf(uri)) ?? []
      const read = requestId === '' ? null : parsed(textOf(text))
      if (read === null) return one
      const { structuredContent } = await resultOf({ structuredContent: read }, asked.has(requestId))
      return { ...objectOf(one), text: JSON.stringify(structuredContent, null, 1) }
    })
    return { ...result, contents: await Promise.all(contents) }
  }

  const note = (request: Request, result: Fields, isAsked: boolean): void => {
    const said = objectOf(result.structuredContent)
    const args = objectOf(objectOf(request.params).arguments)
    const tool = toolCalledBy(request)
    if (tool === 'release_access' && result.isError !== true) kept.drop(textOf(args.grantId))
    if (tool === 'access_status' && result.isError === true && GONE.has(textOf(objectOf(said.error).code)))
      kept.drop(textOf(args.grantId))
    const requestId = textOf(objectOf(said.request).id)
    if (isAsked && said.status === 'pending' && requestId !== '') asked.add(requestId)
    if (isAsked && (said.status === 'granted' || result.isError === true)) asked.delete(textOf(args.requestId))
    const taskId = textOf(result.taskId) || textOf(objectOf(result.task).taskId)
    if (tool === 'request_access' && taskId !== '') asked.add(taskId)
  }

  return {
    async dress(message, request) {
      if (request === null) {
        if (!textOf(message.method).startsWith('notifications/tasks')) return message
        const params = objectOf(message.params)
        return { ...message, params: await within(params, asked.has(textOf(params.taskId))) }
      }
      if (!isAnswer(message) || message.result === undefined) return message
      const result = objectOf(message.result)
      const params = objectOf(request.params)
      const tool = toolCalledBy(request)
      const isAsked =
        tool === 'request_access' ||
        asked.has(textOf(objectOf(params.arguments).requestId)) ||
        asked.has(textOf(params.taskId))
      if (tool !== null) note(request, result, isAsked)
      if (request.method === 'resources/read') return { ...message, result: await resourcesOf(result) }
      const shows = tool === null ? request.method.startsWith('tasks/') : SHOWING.has(tool)
      return shows ? { ...message, result: await within(result, isAsked) } : message
    },
    unsettled: () => [...asked].filter((id) => id.startsWith('req_')),
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The grant is no more, or nothing is to be had under it. */
const GONE = new Set(['grant_expired', 'grant_revoked', 'agent_decommissioned'])

const LATER = 'Call access_status with this grantId: the answer says where its credential lies.'

const orTools = (tools: readonly string[]): string =>
  tools.length === 0 ? '' : `List your tools again and call ${tools.join(' or ')}. Or over HTTP: `

const howTo = (resource: string, headerFile: string, tokenFile: string): string =>
  `Call ${resource} with the header that stands in a file: curl -sS -H ${quoted(`@${headerFile}`)} ${quoted(`${resource}/…`)}. ` +
  `A program that wants the bare token reads it from ${tokenFile} itself. ` +
  'Name the path each time, for the content is replaced every few minutes; never print, copy or quote what is in it.'

/** For a POSIX shell. */
const quoted = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./~…-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
