// An agent's runtime in a process of its own: signs in, asks, waits in its own way, gets a token and says so, a line of JSON
// each. Whatever is lost on the way it begins again, as a runtime does whose broker went away.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as ClientOfOne } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportOfOne } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'
import { openSession, readIdentity } from '../tools/people-and-agents.ts'
import type { AgentOrders, Said } from './agents.ts'
import { INSPECTOR, TASK_CLIENT } from './peers.ts'

const orders = JSON.parse(process.argv[2] ?? '') as AgentOrders
const url = `${orders.issuer}/mcp`
const INFO = { name: 'agent', version: '1.0.0' }
const MODERN = { versionNegotiation: { mode: { pin: '2026-07-28' } } } as const
const LINKS = { elicitation: { url: {} } }
const ask = () => ({ tool: 'desk', scopes: ['desk:read'], reason: 'INC-1: look at it', durationSeconds })

/** How long it lets the broker hold a call open, and how long it believes that it does (seconds). */
const WAIT = 2
const PATIENCE = 10

let durationSeconds = 0
const say = (said: Omit<Said, 'of'>) => process.stdout.write(`${JSON.stringify({ of: durationSeconds, ...said })}\n`)

const Answer = z.looseObject({ structuredContent: z.record(z.string(), z.unknown()) })
const Pending = z.object({ status: z.literal('pending'), request: z.object({ id: z.string() }) })
const Granted = z.object({ status: z.literal('granted'), grant: z.object({ id: z.string() }) })
const Issued = z.object({ accessToken: z.string() })

type Args = Readonly<Record<string, unknown>>
type Agent = {
  /** Its structuredContent. */
  call(name: string, args: Args): Promise<unknown>
  /** Asks and waits in a way of its own; without, it is told that its request is pending, and looks. */
  obtain?(): Promise<unknown>
}
type Connect = (token: string) => Promise<Agent>

type AnyClient = { callTool(params: { name: string; arguments: Record<string, unknown> }): Promise<unknown> }
const agentOf = (client: AnyClient): Agent => ({
  call: async (name, args) =>
    Answer.parse(await inTime(client.callTool({ name, arguments: { ...args } }))).structuredContent,
})
const shown = (link: string) => {
  say({ shown: link })
  return { action: 'accept' as const }
}

async function official(token: string, more: object, capabilities: object): Promise<Client> {
  const client = new Client(INFO, { ...more, capabilities })
  if ('elicitation' in capabilities)
    client.setRequestHandler('elicitation/create', async ({ params }) => shown('url' in params ? params.url : ''))
  const requestInit = { headers: { Authorization: `Bearer ${token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }))
  return client
}

async function older(token: string, capabilities: object): Promise<ClientOfOne> {
  const client = new ClientOfOne(INFO, { capabilities })
  if ('elicitation' in capabilities)
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => shown('url' in params ? params.url : ''))
  const requestInit = { headers: { Authorization: `Bearer ${token}` } }
  await client.connect(new TransportOfOne(new URL(url), { requestInit }))
  return client
}

type Execution = {
  readonly kind: 'immediate' | 'task'
  serializeReference?(): NonNullable<AgentOrders['resume']>
  settle(): Promise<{ outcome: unknown }>
}
type Tasks = {
  /** Throws what a task failed or was cancelled with. */
  resultFromTaskOutcome(outcome: unknown): unknown
  createTaskSessionFromClient(
    client: Client,
    options: object,
  ): { callTool(name: string, args: object): Promise<Execution>; resumeTask(reference: object): Promise<Execution> }
}

/** Kept over reconnections, as a runtime keeps it on its disk. */
let { resume } = orders

/** The extension's own client, over the official one: it sends by itself what that one has no words for. */
async function withTasks(token: string): Promise<Agent> {
  const client = await official(token, MODERN, {})
  const { createTaskSessionFromClient, resultFromTaskOutcome } = (await import(
    pathToFileURL(TASK_CLIENT).href
  )) as Tasks
  let id = 0
  const session = createTaskSessionFromClient(client, {
    endpointId: 'hallpass',
    v2RequestFraming: { protocolVersion: '2026-07-28', clientInfo: INFO, clientCapabilities: {} },
    async rawDispatch(request: { method: string; params: { name?: string; taskId?: string } }) {
      const { method, params } = request
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-protocol-version': '2026-07-28',
          'mcp-method': method,
          'mcp-name': params.name ?? params.taskId ?? '',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params }),
      })
      const { result, error } = (await response.json()) as { result?: unknown; error?: unknown }
      return error === undefined ? { kind: 'result', result } : { kind: 'error', error }
    },
  })
  return {
    ...agentOf(client),
    async obtain() {
      const execution = await (resume === undefined
        ? session.callTool('request_access', ask())
        : session.resumeTask(resume))
      resume = execution.serializeReference?.() ?? resume
      if (resume !== undefined) say({ told: 'task', request: resume.taskId, reference: resume })
      return Answer.parse(resultFromTaskOutcome((await execution.settle()).outcome)).structuredContent
    },
  }
}

const run = promisify(execFile)

/** A process for each call. In the modern era it waits for a task by itself. */
function inspector(era: 'modern' | 'legacy', token: string): Agent {
  const callWithin = async (timeout: number, name: string, args: Args) => {
    const given = [
      ...[INSPECTOR, '--cli', url, '--transport', 'http', '--protocol-era', era, '--stored-auth-only'],
      ...['--header', `Authorization: Bearer ${token}`, '--format', 'json', '--quiet', '--method', 'tools/call'],
      ...['--tool-name', name, '--tool-args-json', JSON.stringify(args)],
    ]
    const { stdout } = await run(process.execPath, given, { timeout, killSignal: 'SIGKILL' })
    return z.object({ result: Answer }).parse(JSON.parse(stdout)).result.structuredContent
  }
  const call = (name: string, args: Args) => callWithin(PATIENCE * 1000, name, args)
  if (era === 'legacy') return { call }
  return {
    call,
    async obtain() {
      say({ told: 'task' })
      return callWithin(0, 'request_access', ask())
    },
  }
}

const CLIENTS: Readonly<Record<AgentOrders['client'], Connect>> = {
  'v2 task': withTasks,
  'v2 link': async (token) => agentOf(await official(token, MODERN, LINKS)),
  'v2 pending': async (token) => agentOf(await official(token, MODERN, {})),
  'v2 legacy link': async (token) => agentOf(await official(token, {}, LINKS)),
  'v2 legacy pending': async (token) => agentOf(await official(token, {}, {})),
  'v1 link': async (token) => agentOf(await older(token, LINKS)),
  'v1 pending': async (token) => agentOf(await older(token, {})),
  'inspector task': async (token) => inspector('modern', token),
  'inspector pending': async (token) => inspector('legacy', token),
}

/** Told that it is pending, it looks until it is not. */
async function pendingThenLook(agent: Agent): Promise<unknown> {
  let answer = await agent.call('request_access', ask())
  for (;;) {
    const pending = Pending.safeParse(answer)
    if (!pending.success) return answer
    say({ told: 'pending', request: pending.data.request.id })
    answer = await agent.call('access_status', { requestId: pending.data.request.id, waitSeconds: WAIT })
  }
}

/** A client of 2025 whose stream broke does not always say so. */
const inTime = <T>(call: Promise<T>): Promise<T> =>
  Promise.race([
    call,
    pause(PATIENCE * 1000, null, { ref: false }).then(() => {
      throw new Error('no answer in time')
    }),
  ])

async function obtain(): Promise<void> {
  const identity = await readIdentity(orders.agent, readFileSync(orders.keyPath, 'utf8'))
  const agent = await CLIENTS[orders.client](await openSession(orders.issuer, identity))
  const { grant } = Granted.parse(await (agent.obtain?.() ?? pendingThenLook(agent)))
  say({ granted: grant.id })
  say({ used: Issued.parse(await agent.call('issue_token', { grantId: grant.id })).accessToken })
}

for (durationSeconds of orders.durations) {
  let isDone = false
  while (!isDone)
    isDone = await obtain().then(
      () => true,
      async (thrown: unknown) => {
        say({ lost: String(thrown).slice(0, 500) })
        await pause(200)
        return false
      },
    )
  resume = undefined
}
// What its clients still hold open is not waited for.
process.exit(0)
