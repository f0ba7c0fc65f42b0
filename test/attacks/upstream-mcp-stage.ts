// An agent's tools of an upstream MCP server that lies, over a real store and real HTTP: asked, looked at, accepted, called.

import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { listDefinitions, pinDefinition } from '../../src/actions/pin-definition.ts'
import type { Log, UpstreamCall, UpstreamMcp } from '../../src/actions/ports.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { createUpstreamTools, type UpstreamTools } from '../../src/actions/upstream-tools.ts'
import type { OpenProgram } from '../../src/adapters/upstream-mcp/program.ts'
import { createUpstreamMcp } from '../../src/adapters/upstream-mcp/upstream-mcp.ts'
import { UPSTREAM_MCP } from '../../src/core/limits.ts'
import type { AccessEntry, ToolMcp } from '../../src/core/manifest.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import { err, ok } from '../../src/core/result.ts'
import { Secret } from '../../src/core/secret.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { type Era, type LyingServer, startLyingServer, TOOL } from '../support/lying-mcp-server.ts'
import { agent, entry, scope, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

export const SECRET = 's3cret/of+the=installation?&<~>'

type Asked = Partial<Pick<UpstreamCall, 'signal' | 'onProgress' | 'ask'>> & {
  readonly session?: Session
  readonly requestId?: string
}

export type UpstreamStage = {
  readonly h: Harness
  readonly server: LyingServer
  readonly upstream: UpstreamMcp
  readonly tools: UpstreamTools
  readonly session: Session
  readonly grant: Grant
  /** What the broker logged as warnings and errors. */
  readonly logged: string[]
  /** Looks at the server, and waits until what it said is kept. */
  look(tool?: string): Promise<void>
  /** Accepts whatever waits. */
  accept(tool?: string): Promise<void>
  definitions(tool?: string): Promise<Extract<Awaited<ReturnType<typeof listDefinitions>>, { ok: true }>['value']>
  shown(agent?: string): Promise<readonly string[]>
  call(shown: string, given?: { readonly [name: string]: unknown }, asked?: Asked): ReturnType<UpstreamTools['call']>
  /** Asks for it as the agent does; it needs no approval. */
  ask(scopes: readonly string[], details?: Record<string, readonly string[]>, session?: Session): Promise<Grant>
  /** The manifest of bot says this from now on. */
  propose(access: readonly AccessEntry[]): ReturnType<typeof applyManifests>
  /** How calls ended, by their request ids, as the trail has it. */
  ends(): Promise<ReadonlyMap<string | null, unknown>>
  close(): Promise<void>
}

const MAPPING: ToolMcp['tools'] = {
  close: { scope: 'close', details: {} },
  note: { scope: 'comment', details: { queue: 'queue' } },
  search: { scope: 'read', details: {} },
}

export type StageLimits = Partial<{ readonly [K in keyof typeof UPSTREAM_MCP | 'recheckMs']: number }>

const HELD = { approval: 'none', delivery: 'proxy' } as const
export const READ = entry('desk', ['read'], HELD)
const COMMENT = entry('desk', ['comment'], { ...HELD, details: { queue: ['dev', 'ops', '7'] } })

export async function upstreamStage(
  era: Era,
  limits: StageLimits = {},
  more: { readonly mcp?: Partial<ToolMcp>; readonly programs?: OpenProgram } = {},
): Promise<UpstreamStage> {
  const server = await startLyingServer(era)
  server.tools = [TOOL('search'), TOOL('note'), TOOL('close')]
  const h = await createHarness()
  const url = server.url
  const at = { url, command: null, secret: 'env:HALLPASS_TOOL_FAKE', header: 'Authorization', prefix: 'Bearer ' }
  const mcp: ToolMcp = { ...at, tools: MAPPING, ...more.mcp }
  const desk = tool('desk', {
    details: { queue: { description: '', enforcedBy: 'proxy' } },
    scopes: { read: scope(), comment: scope(), close: scope() },
    mcp,
  })
  const withBot = (access: readonly AccessEntry[]) =>
    setOf(desk, agent('bot', { access }), agent('other', { access: [READ, COMMENT] }))
  await h.start(withBot([READ, COMMENT]))
  const { deps } = h
  const logged: string[] = []
  const keep = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const log: Log = { info: keep, warn: keep, error: keep }
  const upstream = createUpstreamMcp(
    {
      openSecret: () => ok(new Secret(SECRET)),
      openProgram: more.programs ?? (() => err('there is none')),
      log,
      monotonic: () => performance.now(),
    },
    { ...UPSTREAM_MCP, ...limits },
  )
  const tools = createUpstreamTools({ ...deps, log }, upstream, {
    ...UPSTREAM_MCP,
    recheckMs: 5_000,
    ...limits,
    lookMs: 0,
  })
  const session = await h.session('bot')
  let asked = 0
  const stage: UpstreamStage = {
    h,
    server,
    upstream,
    tools,
    session,
    grant: await h.grant(session, 'desk', ['read']),
    logged,
    async look(name = 'desk') {
      const before = tools.looked(name)
      await tools.look()
      while (tools.looked(name) === before) await new Promise((resolve) => setTimeout(resolve, 5))
    },
    async accept(name = 'desk') {
      for (const one of await stage.definitions(name))
        if (one.digest !== null && one.fault === undefined)
          unwrap(await pinDefinition(deps, as.admin, { tool: name, name: one.name, digest: one.digest }))
    },
    definitions: async (name = 'desk') => unwrap(await listDefinitions(deps, as.admin.caller, name)),
    shown: async (name = 'bot') => (await tools.shownTo(name, ['desk'])).map(({ shown }) => shown),
    call(shown, given = {}, { session: of = session, ...rest } = {}) {
      const caller = { role: 'agent', agent: of.agent, session: of.id } as const
      const signal = new AbortController().signal
      return tools.call(caller, {
        shown,
        given,
        requestId: `req_call${++asked}`,
        signal,
        onProgress: () => {},
        ask: null,
        ...rest,
      })
    },
    async ask(scopes, details = {}, of = session) {
      const caller = { role: 'agent', agent: of.agent, session: of.id } as const
      const input = { tool: 'desk', scopes, reason: 'INC-1', durationSeconds: null, details }
      const outcome = unwrap(await requestAccess(deps, caller, input, 'req_ask'))
      if (outcome.status !== 'granted') throw new Error('the grant waits for an owner')
      return (await h.row('grant', outcome.grant.id))!
    },
    propose: (access) => applyManifests(deps, as.watcher, { set: withBot(access), base: null }),
    async ends() {
      const ends = new Map<string | null, unknown>()
      for (let from = 0, read = 1_000; read === 1_000; from += read) {
        const some = await h.trail(from)
        read = some.length
        for (const { kind, request, body } of some) if (kind === 'tool.answered') ends.set(request, body.ended)
      }
      return ends
    },
    async close() {
      await tools.close()
      server.close()
      await h.close()
    },
  }
  return stage
}

/** A stage whose tools were looked at and accepted. */
export async function acceptedStage(...args: Parameters<typeof upstreamStage>): Promise<UpstreamStage> {
  const stage = await upstreamStage(...args)
  await stage.look()
  await stage.accept()
  return stage
}
