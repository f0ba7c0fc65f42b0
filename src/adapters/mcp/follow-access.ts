// Tells an agent that listens what has changed for it, and no other: what it sees is compared with what it saw, whenever
// something was committed that it rests on, and when time alone changes it. What was missed is told as a change of everything.

import { setTimeout as delay } from 'node:timers/promises'
import type { Edge } from '../../actions/edge.ts'
import { viewAccess } from '../../actions/list-access.ts'
import type { Row } from '../../core/model.ts'
import type { ReadToolList } from './list-tools.ts'
import { ACCESS_URI, accessOf, grantUri, requestUri } from './serve-resources.ts'

/** What changed for one agent. */
export type News = {
  readonly tools: boolean
  /** There are other resources than before. */
  readonly resources: boolean
  /** URIs of resources that read otherwise than before. */
  readonly updated: readonly string[]
}

export interface AccessFollower {
  /** From now on, until the returned function is called. */
  follow(agent: string): () => void
  close(): Promise<void>
}

/** What an agent sees; the tools by the list that is compiled once while nothing changes. */
type Seen = {
  readonly tools: unknown
  readonly texts: ReadonlyMap<string, string>
  /** Tools of ours that it holds a grant for: what their own MCP servers say matters to it. */
  readonly held: ReadonlySet<string>
}

type Followed = {
  /** Streams and sessions that listen. */
  listeners: number
  /** Null until it was looked at. */
  seen: Seen | null
  /** Something happened before it was looked at. */
  missed: boolean
  isLookedAt: boolean
  timer?: NodeJS.Timeout
}

/** Agents looked at side by side: a commit may touch all of them. */
const AT_ONCE = 4
const RETRY_MS = 500
/** After a look that failed: the store is busy or down, for everybody. */
const LOOK_AGAIN_MS = 5_000
const TIMER_MAX_MS = 0x7fff_ffff

/** `tell.gone`: the agent may not act any more, so that nothing of it may stay open. */
export function createAccessFollower(
  edge: Pick<Edge, 'deps' | 'toolsetOf'>,
  toolsOf: ReadToolList,
  tell: { news(agent: string, news: News): void; gone(agent: string): void },
): AccessFollower {
  const { deps } = edge
  const followed = new Map<string, Followed>()
  const due = new Set<string>()
  const stop = new AbortController()
  let looking = 0

  const look = async (agent: string, state: Followed) => {
    const view = await viewAccess(deps, edge.toolsetOf, agent)
    if (!view.ok) return tell.gone(agent)
    const held = new Set(view.value.listed.grants.map(({ tool }) => tool))
    const seen = { tools: await toolsOf(agent), texts: textsOf(view.value), held }
    if (followed.get(agent) !== state) return
    const news = state.seen !== null ? newsOf(state.seen, seen) : state.missed ? everything(seen) : null
    state.seen = seen
    state.missed = false
    clearTimeout(state.timer)
    const { changesAt } = view.value
    if (Number.isFinite(changesAt))
      // A timer may be a moment early.
      state.timer = setTimeout(() => mark(agent), Math.min(changesAt - deps.clock.now() + 2, TIMER_MAX_MS)).unref()
    if (news !== null) tell.news(agent, news)
  }

  const work = async () => {
    looking++
    try {
      for (const agent of due) {
        const state = followed.get(agent)
        // Whoever looks at it now would not see what made it due: it stays so.
        if (state?.isLookedAt) continue
        due.delete(agent)
        if (state === undefined) continue
        state.isLookedAt = true
        try {
          await look(agent, state)
        } catch (thrown) {
          deps.log.error({ agent, error: String(thrown) }, 'what an agent may be told could not be looked at')
          void delay(LOOK_AGAIN_MS, undefined, { ref: false }).then(() => mark(agent))
        } finally {
          state.isLookedAt = false
          if (due.has(agent)) enqueue(agent)
        }
      }
    } finally {
      looking--
    }
  }
  const enqueue = (agent: string) => {
    // Last again: whoever goes through them has passed it.
    due.delete(agent)
    due.add(agent)
    if (looking < AT_ONCE) void work()
  }
  const mark = (agent: string) => {
    const state = followed.get(agent)
    if (state === undefined || stop.signal.aborted) return
    if (state.seen === null) state.missed = true
    enqueue(agent)
  }
  const markAll = () => {
    for (const agent of followed.keys()) mark(agent)
  }
  const markHolders = (tool: string) => {
    // What is looked at now may be seen otherwise than before.
    for (const [agent, { seen, isLookedAt }] of followed)
      if (seen === null || isLookedAt || seen.held.has(tool)) mark(agent)
  }

  const hear = async () => {
    while (!stop.signal.aborted) {
      try {
        const { seq } = await deps.store.read([])
        markAll()
        for await (const fed of deps.store.changes(seq, stop.signal)) {
          if (fed.type === 'reload') markAll()
          if (fed.type !== 'change' || followed.size === 0) continue
          const touched = new Set(fed.change.put.map(agentOf))
          if (touched.has(EVERYBODY)) markAll()
          else for (const agent of touched) if (agent !== null) mark(agent)
          for (const { kind, row } of fed.change.put) if (kind === 'definition') markHolders(row.tool)
        }
      } catch (thrown) {
        if (!stop.signal.aborted) deps.log.error({ error: String(thrown) }, 'the log cannot be followed for agents')
      }
      await delay(RETRY_MS, undefined, { ref: false, signal: stop.signal }).catch(() => undefined)
    }
  }
  const heard = hear()

  return {
    follow(agent) {
      const state = followed.get(agent) ?? { listeners: 0, seen: null, missed: false, isLookedAt: false }
      state.listeners++
      followed.set(agent, state)
      if (state.listeners === 1) enqueue(agent)
      let listens = true
      return () => {
        if (!listens) return
        listens = false
        if (--state.listeners > 0) return
        clearTimeout(state.timer)
        if (followed.get(agent) === state) followed.delete(agent)
      }
    },
    async close() {
      stop.abort()
      for (const { timer } of followed.values()) clearTimeout(timer)
      followed.clear()
      await heard
    },
  }
}

/** No agent has a name like it. */
const EVERYBODY = '*'

/** Whom a row that was put may change something for; null: nobody. */
function agentOf({ kind, row }: Row): string | null {
  switch (kind) {
    case 'request':
    case 'grant':
      return row.agent
    case 'agent':
      return row.id
    case 'slice': {
      const [of, name = ''] = row.id.split('/')
      return of === 'access' || of === 'agent' ? name : EVERYBODY
    }
    case 'installation':
    case 'tool':
    case 'person':
      return EVERYBODY
    default:
      return null
  }
}

function textsOf(view: Parameters<typeof accessOf>[0]): ReadonlyMap<string, string> {
  const { requests, grants } = view.listed
  return new Map([
    [ACCESS_URI, JSON.stringify(accessOf(view))],
    ...requests.map((request): [string, string] => [requestUri(request.id), JSON.stringify(request)]),
    ...grants.map((grant): [string, string] => [grantUri(grant.id), JSON.stringify(grant)]),
  ])
}

/** Null: it sees what it saw. Tools are said to have changed with its grants as well: what it can do with them has. */
function newsOf(before: Seen, now: Seen): News | null {
  const uris = new Set([...before.texts.keys(), ...now.texts.keys()])
  const updated = [...uris].filter((uri) => before.texts.get(uri) !== now.texts.get(uri)).sort()
  const moved = updated.filter((uri) => before.texts.has(uri) !== now.texts.has(uri))
  const tools =
    moved.some((uri) => uri.startsWith(grantUri(''))) ||
    (before.tools !== now.tools && JSON.stringify(before.tools) !== JSON.stringify(now.tools))
  return tools || updated.length > 0 ? { tools, resources: moved.length > 0, updated } : null
}

const everything = ({ texts }: Seen): News => ({ tools: true, resources: true, updated: [...texts.keys()].sort() })
