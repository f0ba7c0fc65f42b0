// What was measured as Markdown: the goal beside the figure, the rivals' set-up in words. It rounds, and hides nothing.

import { cpus, release } from 'node:os'
import { pinning } from './processes.ts'
import { type Compared, median, type Pace, ratios } from './rounds.ts'
import type { GuardTimes } from './rows/guard.ts'
import type { Overload } from './rows/overload.ts'
import type { Latency, RevocationTimes } from './rows/revocation.ts'

export type Size = {
  readonly agents: number
  readonly grants: number
  readonly mintMicroseconds: number
  readonly startMs: number
  readonly memoryMib: number
}
export type Verified = { readonly records: number; readonly perSecond: number; readonly memoryMib: number }

/** Of accounts in one real tool; `missing`: why there are none. */
export type Lives = {
  readonly tool: string
  readonly lives: readonly Lifetimes[]
  readonly load: number
  readonly missing?: string
}
type Lifetimes = Readonly<Record<'provision' | 'firstUse' | 'dead' | 'confirmed', number>>

const whole = (value: number) => Math.round(value).toLocaleString('en-US')
const fine = (value: number) => (value < 10 ? value.toFixed(2) : value.toFixed(1))
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

export const opening = ({ rounds, milliseconds }: Pace): string => `# How fast it is

Made by \`npm run bench\` (\`-- --quick\` for a smoke of a minute, \`-- --only mint\` for one row). Each row runs against its rivals in
one run: rounds of ${milliseconds} ms that take turns, ${rounds} of them, at concurrency 1, 16 and 64. *Ratio* is Hallpass over the rival within each
round, the median of those; above 1 Hallpass answers more. *CPU* is the server process's own time for one answer, all its threads.

${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${process.platform} ${release()}, Node ${process.versions.node}; ${pinning}.
Load: one process of raw sockets that are kept alive; *client* says how much of its core it used at most. The broker is
\`hallpass serve\` on SQLite (WAL, synchronous=FULL), 64 agents with a session and a grant each.
`

function compared(all: readonly Compared[]): string {
  return table(
    ['', 'at once', 'per second', 'ratio', 'rounds from – to', 'p50 ms', 'p99 ms', 'CPU µs', 'client'],
    all.flatMap(({ concurrency, measured }) =>
      measured.map((one) => {
        const own = measured[0]!
        const against = ratios(own, one)
        return [
          one.name,
          String(concurrency),
          whole(median(one.rates)),
          one === own ? '' : median(against).toFixed(2),
          one === own ? '' : `${Math.min(...against).toFixed(2)} – ${Math.max(...against).toFixed(2)}`,
          fine(one.p50),
          fine(one.p99),
          one.cpuMicroseconds === null ? '–' : whole(one.cpuMicroseconds),
          `${whole(one.clientBusy * 100)} %`,
        ]
      }),
    ),
  )
}

const MCP_RIVALS = `The rivals: \`McpServer\` of @modelcontextprotocol/server behind \`createMcpHandler\` and \`createMcpHonoApp\`, five tools with zod input and output
schemas of our tools' fields; *hoisted* builds the schemas once, *as documented* inside the factory, which runs for each request. Both
make the SDK's server for each request, as it is meant to be used; Hallpass reads the plainest form of a list and of a call itself and
leaves all else to the SDK.`

export const list = (all: readonly Compared[]): string => `## List over MCP

\`tools/list\` (2026-07-28, one POST): the caller is authenticated, its session judged, and its own tools listed. Goal: level with the better of
the two.

${compared(all)}

${MCP_RIVALS}
`

export const call = (all: readonly Compared[]): string => `## Call over MCP

\`list_access\`: what the agent may ask for and what it holds, three grants, each judged at that moment, against a constant of the same shape.
Goal: level with the better of the two.

${compared(all)}

The rivals are those of the list.
`

export const mint = (all: readonly Compared[]): string => `## Mint over MCP

A durable, audited credential by \`issue_token\`, against a constant of the same shape with no authentication, no signature and no disk.
Goal: level with *hoisted*, 3 × ahead of *as documented*.

${compared(all)}

The rivals are those of the list. Alone, a mint waits for its own fsync; side by side, mints share one.
`

export const exchange = (all: readonly Compared[]): string => `## Token exchange

A durable, audited credential by RFC 8693. Goal: at least half of a bare Hono no-op, and ahead of oidc-provider.

${compared(all)}

The rivals: \`new Hono().all('*', (c) => c.text('ok'))\` on @hono/node-server, which does not read the body, and the
same reading the form and answering JSON of a token's size; oidc-provider with the adapter
in memory that it brings, client_credentials by client_secret_basic, opaque access tokens (its cheapest) and ES256 JWTs (ours' kind). It
keeps nothing on disk and no trail.
`

export const forwardAuth = (all: readonly Compared[]): string => `## Forward-auth

Is this credential good at this tool, now: token, session, grant, agent, tool and locks judged at each call. Goal: within 1.5 × of a bare
Hono no-op (ratio 0.67 and up).

${compared(all)}

The rival: \`new Hono().all('*', (c) => c.text('ok'))\` on @hono/node-server, which reads no header and answers two bytes; Hallpass answers
this path beside Hono, on Node's own request and response, with nine headers.
`

export const proxy = (all: readonly Compared[]): string => `## Proxy delivery

A call to a tool through \`/tools/NAME/…\`: judged as forward-auth judges, on the trail and durable before the tool sees it, streamed, and
its end on the trail too. The tool is nginx answering 1 KiB.

${compared(all)}

${shareOfTrail(all)}

*No fsync* and *no trail* are the same broker with a module put before it by the bench (\`test/bench/lighter-trail.ts\`): SQLite waits for
no disk, and calls are judged but not recorded. The other rivals: the same nginx proxying to the same page with connections kept open
(\`proxy_pass\`, \`keepalive 64\`), which asks nobody and keeps no trail; and that page itself. Hallpass writes two records a call, of
which the agent waits for one.
`

/** What of a call is the trail's, by its absence: where it does not take the greater part, it is not what limits. */
const shareOfTrail = (all: readonly Compared[]): string =>
  all
    .map(({ concurrency, measured }) => {
      const [own, , none] = measured
      const nginx = measured[3]
      if (own === undefined || none === undefined || nginx === undefined) throw new Error('a contender is missing')
      const cpu = own.cpuMicroseconds !== null && none.cpuMicroseconds !== null
      const trailCpu = cpu
        ? `, ${whole(own.cpuMicroseconds! - none.cpuMicroseconds!)} of ${whole(own.cpuMicroseconds!)} CPU µs`
        : ''
      return `- ${concurrency} at once: ${fine(own.p50 - nginx.p50)} ms more than nginx, of which the trail is ${fine(Math.max(0, own.p50 - none.p50))} ms${trailCpu}; without it ${median(ratios(none, own)).toFixed(2)} × as many calls`
    })
    .join('\n')

export const guard = ({ jose, known, first, knownRatio, firstRatio }: GuardTimes): string => `## Guard

\`guard.verify\` with a live feed, against \`jwtVerify\` of jose with the key at hand. Goal: within 1.2 ×.

${table(
  ['', 'µs a call', '× bare jose'],
  [
    ['bare jose', fine(jose), ''],
    ['guard, a token it has seen', fine(known), knownRatio.toFixed(2)],
    ['guard, a token it sees first', fine(first), firstRatio.toFixed(2)],
  ],
)}
`

const latencyRow = (name: string, { p50, p99, worst }: Latency) => [name, fine(p50), fine(p99), fine(worst)]

export const revocation = ({ revocations, call, here, guard, beside }: RevocationTimes): string => `## Revocation

From the admin's 200 to the first refusal, ${whole(revocations)} credentials one after the other, while ${whole(beside)} credentials a second were minted by
four connections of the same client. Milliseconds; a refusal that was there already counts with the time that asking took. Goal: p99 under
100 ms.

${table(
  ['', 'p50', 'p99', 'worst'],
  [
    latencyRow('refused by forward-auth', here),
    latencyRow('refused by a guard', guard),
    latencyRow("the admin's own call", call),
  ],
)}
`

const medianAndWorst = (values: readonly number[]) =>
  values.length === 0 ? '–' : `${whole(median(values))} (${whole(Math.max(...values))})`

export const tools = (all: readonly Lives[]): string => `## Accounts in real tools

The whole broker as a process and the real tool on the same machine: an agent redeems a grant, so that an account is made, read back and
judged again; uses it; its grant is revoked by an admin. Milliseconds, the median and in brackets the worst. *Dead*: the tool refuses
somebody who tries without pause. *Confirmed*: removed, read back and probed dead, and that on the trail.

${table(
  ['', 'times', 'provision', 'first use', 'revoke → dead', 'revoke → confirmed', 'load'],
  all.map(({ tool, lives, load }) => [
    tool,
    whole(lives.length),
    ...(['provision', 'firstUse', 'dead', 'confirmed'] as const).map((key) =>
      medianAndWorst(lives.map((life) => life[key])),
    ),
    lives.length === 0 ? '–' : fine(load),
  ]),
)}

*Load*: how many processes wanted a core while it was measured, all else on the machine among them; it has ${cpus().length}.
${all.flatMap(({ tool, missing }) => (missing === undefined ? [] : [`\n${tool} was not measured. ${missing}\n`])).join('')}`

export const overload = (one: Overload): string => `## Overload

${whole(one.connections)} connections that each ask for a mint again as soon as they are answered. Goal: memory stays bounded, every answer is
one, and the broker is itself afterwards.

${table(
  ['answers', 'per second', 'refused', 'p99 ms', 'MiB before', 'at most', 'after', 'next mint, ms'],
  [
    [
      whole(one.answers),
      whole(one.perSecond),
      one.refusals.length === 0
        ? 'none'
        : one.refusals.map(({ status, count }) => `${whole(count)} × ${status}`).join(', '),
      whole(one.p99),
      whole(one.memoryBefore ?? Number.NaN),
      whole(one.memoryMost ?? Number.NaN),
      whole(one.memoryAfter ?? Number.NaN),
      fine(one.afterwards),
    ],
  ],
)}
`

export const scale = (sizes: readonly Size[]): string => `## Many agents, many grants

CPU of one mint below HTTP (judged, signed, sealed, committed in groups of 32), and opening the store. Goal: flat.

${table(
  ['agents', 'live grants', 'CPU µs a mint', 'start ms', 'MiB'],
  sizes.map(({ agents, grants, mintMicroseconds, startMs, memoryMib }) => [
    whole(agents),
    whole(grants),
    whole(mintMicroseconds),
    whole(startMs),
    whole(memoryMib),
  ]),
)}
`

export const decommission = (one: { credentials: number; refusedMs: number; allMs: number }): string => `## Decommission

An agent with ${whole(one.credentials)} live credentials: a mint that was tried at once and again was refused after ${whole(one.refusedMs)} ms, all rows were
marked after ${whole(one.allMs)} ms. Goal: at once, and within 2,000 ms.
`

export const revision = (one: {
  agents: number
  applyMs: number
  memoryMib: number
}): string => `## A revision of many agents

${whole(one.agents)} agents, one of them narrowed: judged, committed and followed in ${whole(one.applyMs)} ms, ${whole(one.memoryMib)} MiB resident.
`

export const audit = (all: readonly Verified[]): string => `## Audit verify

${table(
  ['records', 'per second', 'MiB at most'],
  all.map(({ records, perSecond, memoryMib }) => [whole(records), whole(perSecond), whole(memoryMib)]),
)}
`

export const brokenRow = (name: string, thrown: unknown): string =>
  `## ${name}\n\nDid not run: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`
